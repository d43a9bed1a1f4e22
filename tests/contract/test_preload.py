"""preload: modules of tasks are imported before workers are forked, or where they are used."""

from __future__ import annotations

import pytest
from django.conf import settings

from qcore.models import Schedule
from qcore.tasks import async_task, fetch, result

sentence = pytest.mark.sentence

APPS = [*settings.INSTALLED_APPS, "chores.unloadable", "chores.preloaded"]


def cluster_with(start, queue, **conf):
    return start(queue=queue, workers=1, django={"INSTALLED_APPS": APPS}, **conf)


@sentence(
    "preload", "Import the module `tasks` of each installed app before workers are"
)
def test_tasks_are_imported_once_and_one_that_cannot_be_stops_nobody(start):
    cluster = cluster_with(start, "preloading", max_attempts=1)
    task_id = async_task("chores.preloaded.tasks.imported_in", cluster="preloading")
    imported_in, ran_in = result(task_id, wait=60_000)
    assert imported_in == cluster.sentinel
    assert [ran_in] == cluster.workers

    # what such a module declares is in the table, and runs
    beat = cluster.wait_for(
        lambda: Schedule.objects.filter(name="beat", task__isnull=False).first()
    )
    assert beat.declared
    assert result(beat.task, wait=60_000) == "beat"

    told = "chores.unloadable.tasks cannot be imported, so its tasks will fail"
    assert told in cluster.log
    task_id = async_task("chores.unloadable.tasks.nothing", cluster="preloading")
    failed = fetch(task_id, wait=60_000)
    assert not failed.success
    assert "not here" in failed.result


@sentence("preload", "False imports a module when a task needs it")
def test_tasks_are_imported_where_they_run(start):
    cluster = cluster_with(start, "lazy", preload=False)
    task_id = async_task("chores.preloaded.tasks.imported_in", cluster="lazy")
    imported_in, ran_in = result(task_id, wait=60_000)
    assert imported_in == ran_in
    assert "cannot be imported" not in cluster.log
