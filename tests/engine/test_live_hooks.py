"""Hooks that hang or die, chains that are resumed, groups that two clusters share."""

from __future__ import annotations

import time

import pytest
from chores.ledger import wait_for
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.urls import reverse

from qcore.models import Failure
from qcore.runtime import current
from qcore.tasks import (
    async_chain,
    async_iter,
    async_task,
    count_group,
    fetch,
    fetch_group,
    result,
    result_group,
)
from qcore.testing.speed import stretched

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def cluster(_start):
    # A hook that is stopped has the grace for its cleanup, and machines may be slow. Those
    # that never end take both, six times in one test, and no lease may end meanwhile.
    patience = min(stretched(1.5), 3.0)
    return _start(max_attempts=1, timeout=patience, grace=patience, retry=120)


# -- hooks ------------------------------------------------------------------------------
def test_a_hook_has_the_timeout_to_itself(start, ledger, key):
    """The task and its hook take longer than the timeout together."""
    hooked = {"hook": "chores.hooks.take_a_while", "group": key}
    timeout = stretched(3)  # the cluster's, for a task's own is none of its hook
    nap = timeout * 0.6
    start(queue="patient", timeout=timeout, max_attempts=1, retry=9 * timeout)
    task_id = async_task("chores.kind.nap", key, nap, cluster="patient", **hooked)
    (ended,) = ledger.wait(key, "hook ended")
    (began,) = ledger.entries(key, "began")
    assert ended.at - began.at > timeout
    assert fetch(task_id, wait=60_000).success
    assert len(ledger.entries(key, "hook began")) == 1


@pytest.mark.fault("B8")
def test_a_hook_that_takes_too_long_is_stopped(cluster, ledger, key):
    hooked = {"hook": "chores.hooks.take_too_long", "group": key}
    task_id = async_task("chores.kind.echo", 1, **hooked)
    ledger.wait(key, "hook cleaned up")
    cluster.wait_idle()
    assert fetch(task_id).success
    assert "hook chores.hooks.take_too_long of chores.kind.echo" in cluster.log
    assert len(ledger.entries(key, "hook began")) == 1, "it is not tried again"


@pytest.mark.fault("B7")
def test_a_hook_that_cannot_be_stopped_is_killed(cluster, ledger, key):
    hooked = {"hook": "chores.hooks.never_end", "group": key}
    task_id = async_task("chores.kind.record", key, **hooked)
    ledger.wait(key, "began", 2)
    cluster.wait_idle()
    assert fetch(task_id).success
    assert len(ledger.entries(key, "began")) == 2, "it is tried twice, and given up"
    assert len(ledger.entries(key, "ran")) == 1


@pytest.mark.fault("A1")
def test_a_hook_whose_worker_is_killed_ends_in_another_one(cluster, ledger, key):
    hooked = {"hook": "chores.hooks.be_killed_once", "group": key}
    async_task("chores.kind.record", key, **hooked)
    (ended,) = ledger.wait(key, "hook ended")
    first, second = ledger.entries(key, "hook began")
    assert first.pid != second.pid == ended.pid
    assert len(ledger.entries(key, "ran")) == 1


def test_a_hook_is_called_for_a_task_that_is_not_saved(cluster, ledger, key):
    hooked = {"hook": "chores.kind.hook", "group": key, "task_name": "n"}
    task_id = async_task("chores.kind.echo", 1, save=False, **hooked)
    ledger.wait(key, "success n")
    cluster.wait_idle()
    assert fetch(task_id) is None


def test_a_hook_is_called_for_a_task_that_was_killed(cluster, ledger, key):
    hooked = {"hook": "chores.kind.hook", "group": key, "task_name": "n"}
    async_task("chores.rude.leave", key, 3, **hooked)
    ledger.wait(key, "crash n")


@pytest.mark.fault("A4")
def test_a_hook_outlives_its_cluster(start, ledger, key):
    """The task is not run again; what was left of it is done by the next cluster."""
    options = {"queue": "outlived", "retry": 2, "renew": True}
    first = start(**options)
    hooked = {"hook": "chores.hooks.wait_for_the_second", "group": key}
    task_id = async_task("chores.kind.record", key, cluster="outlived", **hooked)
    ledger.wait(key, "hook began")
    first.kill_sentinel()
    start(**options)
    ledger.wait(key, "hook ended")
    assert len(ledger.entries(key, "ran")) == 1
    assert fetch(task_id).success


# -- chains -----------------------------------------------------------------------------
@pytest.fixture
def admin(database) -> Client:
    client = Client()
    user, _ = User.objects.get_or_create(
        username="admin", is_staff=True, is_superuser=True
    )
    client.force_login(user)
    return client


@pytest.mark.fault("G17")
def test_a_chain_is_resumed_at_its_failed_link(cluster, ledger, key, admin):
    """Sent again in the admin, the failed link goes on to the rest, which is run once."""
    group = async_chain(
        [
            ("chores.kind.record", (f"{key} first", 1)),
            ("chores.kind.fail_first", (key,)),
            ("chores.kind.record", (f"{key} third", 3)),
            ("chores.kind.record", (f"{key} fourth", 4)),
        ]
    )
    assert len(fetch_group(group, wait=60_000, count=2)) == 2
    cluster.wait_idle()
    assert ledger.entries(f"{key} third") == []
    failed = Failure.objects.get(group=group)
    assert failed.links == 2
    admin.post(
        reverse("admin:qcore_failure_changelist"),
        {"action": "resubmit_task", "_selected_action": [failed.pk]},
    )
    assert result_group(group, wait=60_000, count=4) == [1, "the second time", 3, 4]
    cluster.wait_idle()
    assert (count_group(group), count_group(group, failures=True)) == (4, 0)
    for channel in ("first", "third", "fourth"):
        assert len(ledger.entries(f"{key} {channel}")) == 1


@pytest.mark.fault("G21")
@pytest.mark.parametrize("hook", ["leave", "cancel", "die", "never_end"])
def test_a_chain_does_not_depend_on_its_hooks(cluster, ledger, key, hook):
    """Whatever the hook does to its worker, the next link is sent."""
    links = [("chores.kind.record", (f"{key} {number}", number)) for number in range(3)]
    async_chain(links, group=key, hook=f"chores.hooks.{hook}")
    assert result_group(key, wait=60_000, count=3) == [0, 1, 2]
    cluster.wait_idle()
    for number in range(3):
        assert len(ledger.entries(f"{key} {number}")) == 1


@pytest.mark.fault("B23")
@pytest.mark.parametrize("hook", ["leave", "cancel"])
def test_a_hook_cannot_end_its_worker_by_an_exception(cluster, ledger, key, hook):
    cluster.wait_complete()
    before = cluster.workers
    hooked = {"hook": f"chores.hooks.{hook}", "group": key}
    task_id = async_task("chores.kind.echo", 1, **hooked)
    wait_for(lambda: ledger.entries(key))
    cluster.wait_idle()
    assert fetch(task_id).success
    assert len(ledger.entries(key)) == 1
    assert cluster.workers == before
    assert f"hook chores.hooks.{hook} of chores.kind.echo id={task_id}" in cluster.log


# -- groups -----------------------------------------------------------------------------
@pytest.mark.fault("G18")
def test_an_iter_that_loses_calls_ends_as_a_failure(start):
    """Each lost call is a failure of its own, in its place; nobody waits for ever."""
    start(queue="lossy", max_crashes=1, max_attempts=1)
    joined = async_iter("chores.hooks.leave_if_odd", range(4), cluster="lossy")
    record = fetch(joined, wait=60_000)
    assert not record.success
    assert "WorkerDied" in str(record.result)


def shared(kind: str, request: pytest.FixtureRequest, tmp_path) -> dict[str, object]:
    if kind == "files":
        backend = "django.core.cache.backends.filebased.FileBasedCache"
        return {"BACKEND": backend, "LOCATION": str(tmp_path)}
    server = request.getfixturevalue("redis_server")
    backend = "django.core.cache.backends.redis.RedisCache"
    return {"BACKEND": backend, "LOCATION": server.url(3)}


@pytest.mark.parametrize("kind", ["files", "redis"])
def test_two_clusters_share_groups_in_the_cache(
    start, ledger, key, tmp_path, request, kind
):
    """Counts are exact, order is kept, failures are seen, and an iter is joined once."""
    caches = {"default": shared(kind, request, tmp_path)}
    queue = f"shared-{kind}"
    options = {"cluster": queue, "cached": 600, "timeout": 120}
    with override_settings(CACHES=caches):
        current.reset()
        for _ in range(2):
            start(queue=queue, max_attempts=1, bulk=2, django={"CACHES": caches})
        joined = async_iter("chores.kind.add", [(n, n) for n in range(40)], **options)
        for number in range(40):
            async_task("chores.hooks.meet", key, number, 3, group=key, **options)
        records = fetch_group(key, wait=150_000, count=40, cached=True)
        numbers = [record.args[1] for record in records]
        assert numbers == list(range(40)), "in the order of sending"
        assert count_group(key, cached=True) == 40
        assert count_group(key, failures=True, cached=True) == 8
        assert [r.args[1] for r in records if not r.success] == list(range(4, 40, 5))
        wanted = [number for number in range(40) if number % 5 != 4]
        assert result_group(key, cached=True) == wanted
        assert result(joined, wait=60_000, cached=True) == [2 * n for n in range(40)]
        assert count_group(joined, cached=True) == 1
        ran = [entry.event for entry in ledger.entries(key)]
        assert sorted(ran, key=int) == [str(number) for number in range(40)]
        workers = {entry.pid for entry in ledger.entries(key)}
        assert len(workers) > 2, "a cluster has two: both had a part in it"
    current.reset()


def test_a_cached_chain_keeps_to_its_order_across_clusters(
    start, ledger, key, tmp_path, request
):
    caches = {"default": shared("files", request, tmp_path)}
    with override_settings(CACHES=caches):
        current.reset()
        for _ in range(2):
            start(queue="chained", bulk=1, django={"CACHES": caches})
        links = [("chores.kind.record", (key, number)) for number in range(6)]
        before = time.monotonic()
        group = async_chain(links, cached=True, cluster="chained")
        found = result_group(group, wait=60_000, count=6, cached=True)
        assert found == list(range(6))
        moments = [entry.at for entry in wait_for(lambda: ledger.entries(key))]
        assert moments == sorted(moments)
        assert all(moment > before for moment in moments)
    current.reset()
