"""A project with three databases: its own, that of the results, and that of the queue."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from django.core.management import call_command
from django.db import connections, transaction
from django.test import override_settings
from faults.place import Place

from qcore.models import Task
from qcore.runtime import current
from qcore.tasks import async_task, queue_size, result, schedule
from qcore.testing.database import connected, entry
from qcore_orm.models import OrmQ

pytestmark = pytest.mark.once

ROUTERS = ["chores.routers.Apart"]
ALIASES = ("default", "results", "queue")


@pytest.fixture(scope="module")
def databases(tmp_path_factory, django_db_blocker):
    """Three files, with the tables that the router puts there, known to this process."""
    folder = tmp_path_factory.mktemp("databases")
    files = {alias: entry(folder / f"{alias}.sqlite3") for alias in ALIASES}
    complete = connections.configure_settings(
        {alias: dict(f) for alias, f in files.items()}
    )
    others = ALIASES[1:]
    with (
        django_db_blocker.unblock(),
        connected(folder / "default.sqlite3"),
        override_settings(DATABASE_ROUTERS=ROUTERS),
    ):
        for alias in others:
            connections.settings[alias] = complete[alias]
        current.reset()
        for alias in files:
            call_command("migrate", database=alias, verbosity=0)
        yield files
        current.close()
        for alias in others:
            connections[alias].close()
            del connections[alias], connections.settings[alias]


@pytest.fixture
def place(databases):
    django = {"DATABASES": databases, "DATABASE_ROUTERS": ROUTERS}
    made = Place(None, {"name": "faults", "orm": "queue"}, django, kind="sqlite")
    with override_settings(Q_CLUSTER=made.settings):
        yield made
        made.close()
        current.close()


def has_table(alias, model):
    return model._meta.db_table in connections[alias].introspection.table_names()


@pytest.mark.fault("E13")
def test_tasks_and_results_are_where_the_settings_say(place, ledger, key):
    assert [has_table(alias, Task) for alias in ALIASES] == [False, True, False]
    assert [has_table(alias, OrmQ) for alias in ALIASES] == [False, False, True]
    task_id = async_task("chores.kind.record", key, 7, cluster=place.queue)
    assert OrmQ.objects.using("queue").filter(key=place.queue).count() == 1
    schedule("chores.kind.record", f"{key} on time", cluster=place.queue)
    cluster = place.start()
    assert result(task_id, wait=60_000) == 7
    ledger.wait(f"{key} on time", "ran")
    cluster.wait_idle()
    assert Task.objects.using("results").filter(id=task_id).exists()


class Abandon(Exception):
    """Rolls a transaction back."""


@pytest.mark.fault("E13")
@pytest.mark.parametrize("keep", [True, False], ids=["commit", "rollback"])
@pytest.mark.parametrize(
    ("open_on", "at_once"),
    [
        (["default"], 0),
        (["results"], 0),
        (["queue"], 1),  # the task is in it, and goes with it
        (["default", "results"], 0),
        (["results", "default"], 0),
        (["default", "queue"], 1),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else "",
)
def test_a_task_waits_for_the_commit_that_it_belongs_to(place, open_on, at_once, keep):
    """The queue's own if it is open, else the project's, whichever was opened first."""
    owner = "queue" if at_once else "default" if "default" in open_on else open_on[0]
    with ExitStack() as around:
        for alias in open_on:
            if alias != owner:
                around.enter_context(transaction.atomic(using=alias))
        try:
            with transaction.atomic(using=owner):
                async_task("chores.kind.add", 1, cluster=place.queue)
                assert queue_size(current.broker(place.queue)) == at_once
                if not keep:
                    raise Abandon
        except Abandon:
            assert not keep
        # the others are still open: it is not their commit that counts
        assert queue_size(current.broker(place.queue)) == int(keep)
    current.broker(place.queue).purge_queue()
