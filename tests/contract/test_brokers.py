"""bulk and broker_class on live clusters; what else is said of brokers in common."""

from __future__ import annotations

import copy
from contextlib import contextmanager

import pytest
from django.core.management import call_command
from django.db import connections
from django.test import override_settings

from qcore.conf import Conf
from qcore.models import Success
from qcore.runtime import current
from qcore.tasks import async_iter, async_task, result

pytest.importorskip("qcore_orm")

sentence = pytest.mark.sentence
NOTING = {"broker_class": "chores.brokers.NotingBroker"}


@sentence(
    "broker_class", "You can use a custom broker class for your cluster workers::"
)
def test_a_cluster_works_with_a_custom_class(start, custom_class):
    cluster = start(queue="custom", broker_class=custom_class, workers=1)
    task_id = async_task("os.getpid", cluster="custom")
    assert result(task_id, wait=60_000) in cluster.workers
    seen = cluster.wait_for(lambda: cluster.snapshot)
    assert seen.broker == "of our own making"


@sentence(
    "bulk",
    "Sets the number of messages each cluster tries to get from the broker per call.",
)
@pytest.mark.parametrize("bulk", [1, 3])
def test_a_cluster_asks_for_so_many_per_call(start, ledger, bulk):
    queue = f"bulk-{bulk}"
    start(queue=queue, bulk=bulk, queue_limit=50, **NOTING)
    joined = async_iter("chores.kind.echo", list(range(40)), cluster=queue)
    assert result(joined, wait=60_000) == list(range(40))
    limits = {int(entry.event) for entry in ledger.entries(f"asked on {queue}")}
    assert limits == {bulk}


@sentence("bulk", "Defaults to ``1``.")
def test_bulk_by_default(start, ledger):
    """Unset it is 1, and what a cluster asks for is bounded by its room all the same.

    A `queue_limit` that is set does not grow, though tasks of microseconds would have
    it do so.
    """
    assert current.conf.bulk == Conf().bulk == 1
    start(queue="bulk", workers=1, queue_limit=4, **NOTING)
    joined = async_iter("chores.kind.echo", list(range(400)), cluster="bulk")
    assert result(joined, wait=60_000) == list(range(400))
    limits = {int(entry.event) for entry in ledger.entries("asked on bulk")}
    assert max(limits) <= 1 + 4, "workers and queue_limit"


@sentence("retry", "Only works with brokers that support delivery receipts.")
def test_every_broker_has_receipts():
    """So that `retry` works with all of them."""
    registry = current.registry
    for name in registry.providers("broker"):
        kind = registry.load("broker", name)
        assert kind.supports_receipts, name


# -- orm -----------------------------------------------------------------------------------
@contextmanager
def another_database(path):
    """Let this process, too, know the database ``queue``."""
    # with the options of the other processes: whoever comes first sets the journal's
    # mode, and a change of it while others are connected is refused as "locked"
    options = connections["default"].settings_dict["OPTIONS"]
    engine = "django.db.backends.sqlite3"
    entry = {"ENGINE": engine, "NAME": str(path), "OPTIONS": dict(options)}
    connections.settings["queue"] = connections.configure_settings(
        {"default": {}, "queue": entry}
    )["queue"]
    try:
        yield
    finally:
        connections["queue"].close()
        del connections["queue"], connections.settings["queue"]


@sentence("orm", "you should consider using a different database backend than the main")
@sentence("orm", "Set ``orm`` to the name of that database connection and make sure")
def test_the_queue_is_in_a_database_of_its_own(start, settings, tmp_path):
    path = tmp_path / "queue.sqlite3"
    # of this project alone: tests before may have left aliases of other servers
    default = copy.deepcopy(settings.DATABASES["default"])
    default["NAME"] = connections["default"].settings_dict["NAME"]
    both = {"default": default, "queue": default | {"NAME": str(path)}}
    # nor need the driver of a database be here that no task uses
    both["far"] = {"ENGINE": "django.db.backends.oracle", "NAME": "far"}
    own = settings.Q_CLUSTER | {"orm": "queue", "name": "apart"}
    with another_database(path):
        call_command("migrate", database="queue", verbosity=0)
    cluster = start(**own, django={"DATABASES": both})
    with another_database(path), override_settings(Q_CLUSTER=own):
        task_id = async_task("os.getpid")
        assert current.broker().database == "queue"
        assert result(task_id, wait=60_000) in cluster.workers, cluster.log
        cluster.wait_idle()
        current.close()
    assert Success.objects.using("default").filter(id=task_id).exists()


# -- renew ---------------------------------------------------------------------------------
@sentence("renew", "None renews unless the project sets `retry`.")
def test_a_broker_that_cannot_renew_is_told_in_the_log(start):
    firm = {"broker_class": "chores.brokers.FirmBroker", "renew": True}
    cluster = start(queue="firm", workers=1, retry=30, **firm)
    told = "FirmBroker cannot renew leases: a task that runs for more than 30 s is"
    cluster.wait_for(lambda: told in cluster.log, what="it is told")
