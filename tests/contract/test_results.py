"""save_limit, save_limit_per, cache, cached, error_reporter: what is kept and told."""

from __future__ import annotations

import pytest
from contract.document import example_of
from django.core.cache import caches
from django.test import override_settings

from qcore import status
from qcore.models import Failure, Success
from qcore.runtime import current
from qcore.tasks import (
    async_task,
    count_group,
    delete,
    fetch,
    result,
    result_cached,
    result_group,
)

sentence = pytest.mark.sentence
option = pytest.mark.option


def run(cluster, queue, calls):
    """Send calls of (function, argument) one after the other, and wait until they end."""
    ids = [async_task(*call, cluster=queue, **options) for *call, options in calls]
    cluster.wait_idle()
    return ids


SUCCESSES = [("chores.kind.echo", n, {}) for n in range(5)]
FAILURES = [("chores.kind.fail", str(n), {}) for n in range(5)]


# -- save_limit ----------------------------------------------------------------------------
@sentence("save_limit", "Limits the amount of successful tasks saved to Django.")
@sentence("save_limit", "Failures are always saved.")
def test_so_many_successes_are_kept_and_every_failure(start):
    cluster = start(queue="kept", save_limit=2, ack_failures=True, workers=1)
    run(cluster, "kept", SUCCESSES + FAILURES)
    kept = Success.objects.filter(cluster="kept")
    # a success is pruned once its delivery is acknowledged
    cluster.wait_for(lambda: kept.count() <= 2, what="the older ones are pruned")
    assert sorted(task.result for task in kept) == [3, 4], "the newest"
    assert Failure.objects.filter(cluster="kept").count() == 5


@sentence("save_limit", "Set to ``-1`` for no success storage at all.")
@option("save")
def test_no_success_is_kept_unless_the_task_says_so(start):
    cluster = start(queue="none", save_limit=-1, ack_failures=True)
    wanted = ("chores.kind.echo", "wanted", {"save": True})
    *_, task_id = run(cluster, "none", [*SUCCESSES, *FAILURES, wanted])
    (kept,) = Success.objects.filter(cluster="none")
    assert (kept.id, kept.result) == (task_id, "wanted")
    assert Failure.objects.filter(cluster="none").count() == 5


@sentence("save_limit", "Set to ``0`` for unlimited.")
def test_all_successes_are_kept(start, settings):
    own = settings.Q_CLUSTER | {"save_limit": 0}
    with override_settings(Q_CLUSTER=own):
        cluster = start(queue="all")
        run(cluster, "all", [("chores.kind.echo", n, {}) for n in range(300)])
        assert Success.objects.filter(cluster="all").count() == 300
    assert current.conf.save_limit == 250, "the default would have kept fewer"


@sentence("save_limit_per", "Apply `save_limit` to each group, name or function.")
def test_each_function_has_the_limit_for_itself(start):
    cluster = start(queue="per", save_limit=2, save_limit_per="func", workers=1)
    added = [("chores.kind.add", n, {}) for n in range(5)]
    run(cluster, "per", SUCCESSES + added)
    functions = Success.objects.filter(cluster="per").values_list("func", flat=True)
    cluster.wait_for(lambda: len(functions.all()) <= 4, what="older ones are pruned")
    assert sorted(functions.all()) == ["chores.kind.add"] * 2 + ["chores.kind.echo"] * 2


# -- cache and cached ------------------------------------------------------------------------
def file_cache(path):
    backend = "django.core.cache.backends.filebased.FileBasedCache"
    return {"BACKEND": backend, "LOCATION": str(path)}


@pytest.fixture
def cached_project(settings, tmp_path, request):
    """A project whose results go to the cache ``stats``, and what it is made of."""
    settings.CACHES = {
        "default": file_cache(tmp_path / "default"),
        "stats": file_cache(tmp_path / "stats"),
    }
    own = {"cache": "stats", "cached": True}
    settings.Q_CLUSTER = settings.Q_CLUSTER | own
    current.reset()
    yield {"django": {"CACHES": settings.CACHES}}
    current.reset()


@sentence("cache", "You can indicate which cache to use by setting this value.")
@sentence("cache", "to gather statistics for the monitor")
@sentence("cached", "Switches all task and result functions")
@sentence(
    "cached",
    "This is the same as setting the keyword ``cached=True`` on all task functions.",
)
@option("cached")
def test_results_and_status_go_to_the_cache_of_the_setting(
    start, cached_project, key, tmp_path
):
    cluster = start(queue="cached", **cached_project)
    task_id = async_task("chores.kind.echo", 7, cluster="cached", group=key)
    own = async_task("chores.kind.echo", 8, cluster="cached", cached=False)
    assert result(task_id, wait=60_000) == 7, "no keyword is needed"
    assert result_cached(task_id) == 7
    assert (count_group(key), result_group(key)) == (1, [7])
    assert fetch(task_id, cached=False) is None, "it is not in the database"
    assert result(own, wait=60_000, cached=False) == 8, "a task's own say wins"
    assert fetch(own) is None
    assert delete(task_id)
    assert fetch(task_id) is None
    assert status.route() == "cache"
    assert cluster.wait_for(lambda: cluster.snapshot).queue == "cached"
    assert not (tmp_path / "default").exists(), "nothing is in the other cache"


@sentence("cached", "the number of seconds you want the cache to retain results")
def test_a_number_is_how_long_the_cache_keeps_them(start, cached_project, settings):
    settings.Q_CLUSTER = settings.Q_CLUSTER | {"cached": 5}
    cluster = start(queue="brief", **cached_project)
    task_id = async_task("chores.kind.echo", 7, cluster="brief")
    longer = async_task("chores.kind.echo", 8, cluster="brief", cached=60)
    assert result(task_id, wait=60_000) == 7
    cluster.wait_for(lambda: fetch(task_id) is None, 30, "it is forgotten")
    assert result(longer, wait=60_000) == 8


@sentence("cache", "For some brokers, you will need to set up the Django")
@sentence("cache", "Defaults to ``default``.")
def test_this_broker_needs_no_cache_for_the_monitor(start):
    assert current.conf.cache == "default"
    assert caches["default"].__class__.__name__ == "LocMemCache", "private to a process"
    cluster = start(queue="seen", workers=1)
    assert status.route() == "broker"
    assert cluster.wait_for(lambda: cluster.snapshot).queue == "seen"


# -- error_reporter --------------------------------------------------------------------------
@sentence(
    "error_reporter",
    "You can redirect worker exceptions directly to various error reporters",
)
def test_an_exception_in_a_worker_reaches_the_reporter(start, sink, key):
    pytest.importorskip("qcore_sentry")
    pytest.importorskip("sentry_sdk")
    start(queue="told", error_reporter={"sentry": {"dsn": sink.dsn}}, ack_failures=True)
    async_task("chores.kind.fail", key, cluster="told")
    (event,) = sink.wait("events")
    (value,) = event["exception"]["values"]
    assert (value["type"], value["value"]) == ("ValueError", key)


@sentence("error_reporter", "(example 1)")
@sentence("error_reporter", "you must provide the configuration settings required by")
def test_the_example_of_a_reporter(start, sink, key):
    pytest.importorskip("qcore_rollbar")
    pytest.importorskip("rollbar")
    given = example_of("error_reporter")
    given["error_reporter"]["rollbar"]["endpoint"] = sink.endpoint
    start(queue="rolled", ack_failures=True, **given)
    async_task("chores.kind.fail", key, cluster="rolled")
    (item,) = sink.wait("items")
    assert item["environment"] == "Django-Q"
    assert key in str(item["body"])


@sentence("report_args", "Give reporters the arguments of a failed task.")
@pytest.mark.parametrize("given", [True, False])
def test_arguments_are_told_where_the_setting_says_so(start, sink, given):
    pytest.importorskip("qcore_sentry")
    queue = f"args-{given}"
    reporter = {"sentry": {"dsn": sink.dsn}}
    start(queue=queue, error_reporter=reporter, report_args=given, ack_failures=True)
    async_task("chores.kind.fail_and_note", "canary", cluster=queue)
    (event,) = sink.wait("events")
    assert ("canary" in str(event)) is given
