"""The pages of the admin in projects with several databases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.core.management import call_command
from django.db import connections
from django.test import Client, override_settings
from django.urls import reverse

from qcore.models import Quarantine, Schedule, Task
from qcore.results.orm import OrmStore
from qcore.runtime import current
from qcore.tasks import async_task
from qcore.testing.database import connected, entry

OrmQ = pytest.importorskip("qcore_orm.models").OrmQ


@pytest.fixture
def project(tmp_path, django_db_blocker):
    """Return what makes a project of two databases, with a router."""

    @contextmanager
    def project(router: str, other: str, **options: object) -> Iterator[Client]:
        own, second = tmp_path / "default.sqlite3", tmp_path / f"{other}.sqlite3"
        complete = connections.configure_settings(
            {"default": dict(entry(own)), other: dict(entry(second))}
        )
        django = {
            "DATABASE_ROUTERS": [f"chores.routers.{router}"],
            "Q_CLUSTER": {"name": "tests", "orm": "default", **options},
        }
        with django_db_blocker.unblock(), connected(own), override_settings(**django):
            connections.settings[other] = complete[other]
            current.reset()
            try:
                for alias in ("default", other):
                    call_command("migrate", database=alias, verbosity=0)
                yield boss()
            finally:
                current.close()
                connections[other].close()
                del connections[other], connections.settings[other]
                current.reset()

    return project


def boss() -> Client:
    from django.contrib.auth.models import User

    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


@pytest.mark.fault("E13")
@pytest.mark.parametrize("how", ["page", "action"])
def test_a_queued_task_is_deleted_where_it_is_queued(project, how):
    with project("Primary", "queue", orm="queue") as client:
        async_task("chores.kind.add", 1)
        key = OrmQ.objects.using("queue").get().pk
        OrmQ.objects.using("default").create(
            pk=key, key="of somebody else", payload=b"x", visible=0
        )
        if how == "page":
            address = reverse("admin:qcore_orm_ormq_delete", args=[key])
            answer = client.post(address, {"post": "yes"})
        else:
            data = {
                "action": "delete_selected",
                "_selected_action": [key],
                "post": "yes",
            }
            answer = client.post(reverse("admin:qcore_orm_ormq_changelist"), data)
        assert answer.status_code == 302
        assert not OrmQ.objects.using("queue").exists()
        assert OrmQ.objects.using("default").get().key == "of somebody else"


@pytest.mark.fault("E13")
def test_schedules_and_quarantine_are_shown_with_results_elsewhere(project, make):
    with project("ResultsApart", "results") as client:
        good, bad = make(), make(outcome="failure")
        store = OrmStore(current.conf)
        store.save([good, bad])
        store.quarantine("mail", b"x", "BadPackage", "not a package")
        assert Task.objects.using("results").count() == 2
        for result in (good, bad):
            Schedule.objects.create(func="math.sqrt", task=result.task.id)
        page = client.get(reverse("admin:qcore_schedule_changelist")).text
        assert f"/success/{good.task.id}/change/" in page
        assert f"/failure/{bad.task.id}/change/" in page
        for model in ("schedule", "quarantine", "success", "failure"):
            listed = client.get(reverse(f"admin:qcore_{model}_changelist"))
            assert listed.status_code == 200
        key = Quarantine.objects.get().pk
        shown = client.get(reverse("admin:qcore_quarantine_change", args=[key]))
        assert "not a package" in shown.text
