"""The Queued tasks pages of the admin."""

from __future__ import annotations

import pickle
import time

import pytest
from django.contrib import admin
from django.test import override_settings
from django.urls import reverse

from qcore.envelope import Task, new_id
from qcore.models import Ticket
from qcore.runtime import current
from qcore_orm.models import OrmQ

pytestmark = pytest.mark.django_db

LIST = "admin:qcore_orm_ormq_changelist"


class Bomb:
    """Fails the test when it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("a body was unpickled",))


def package(**fields):
    given = {"name": "add-1", "func": "shop.add", "queue": "tests", "content": "json"}
    task = Task(id=new_id(), created=1_767_225_600.0, **{**given, **fields})
    return current.signer.sign(task)


def queue(payload, **fields):
    return OrmQ.objects.create(key="tests", payload=payload, visible=0, **fields)


@pytest.fixture
def rows():
    bomb = pickle.dumps(Bomb())
    return {
        "json": queue(package(body=b"[[2,3],{}]"), attempts=3),
        "pickle": queue(package(name="bomb", content="pickle", body=bomb)),
        "garbage": queue(b"\x80\x04garbage"),
        "foreign": queue(package(name="moved", queue="theirs", body=b"[[],{}]")),
        "held": queue(package(name="held", body=b"[[],{}]"), claimed=True),
    }


def page_of(client, row):
    return client.get(reverse("admin:qcore_orm_ormq_change", args=[row.pk]))


def test_the_list_opens_empty(admin_client):
    assert "0 queued tasks" in admin_client.get(reverse(LIST)).content.decode()


def test_the_list_shows_headers_and_marks_the_unreadable(admin_client, rows):
    text = admin_client.get(reverse(LIST)).content.decode()
    assert all(word in text for word in ("shop.add", "add-1", "bomb"))
    assert "unreadable: 9 bytes that are not a qcore package" in text
    assert 'field-name">moved' not in text
    assert "1970-01-01 " in text


def test_the_page_of_a_task_shows_json_and_no_pickle(admin_client, rows):
    assert "[2, 3]" in page_of(admin_client, rows["json"]).content.decode()
    assert "2026-01-01 00:00:00" in page_of(admin_client, rows["json"]).content.decode()
    text = page_of(admin_client, rows["pickle"]).content.decode()
    assert "None" not in text
    assert "bytes of pickle, not loaded here" in text


@pytest.mark.parametrize("kind", ["garbage", "foreign"])
def test_the_page_of_the_unreadable_says_why(admin_client, rows, kind):
    answer = page_of(admin_client, rows[kind])
    assert answer.status_code == 200
    assert (rows[kind].task_id, rows[kind].func) == (None, None)
    assert "unreadable: " in answer.content.decode()


def test_locked_means_claimed_and_in_force(rows):
    page = admin.site._registry[OrmQ]
    held = rows["held"]
    assert page.locked(held) is False  # its lease has run out
    held.visible = time.time() + 60
    assert page.locked(held) is True
    held.claimed = False  # delayed
    assert page.locked(held) is False


def test_long_bodies_are_cut(rows):
    page = admin.site._registry[OrmQ]
    long = queue(package(body=b'[["' + b"x" * 9000 + b'"],{}]'))
    assert len(page.shown_args(long)) == 4003


def test_tasks_can_be_deleted_and_neither_added_nor_changed(admin_client, rows):
    assert admin_client.get(reverse("admin:qcore_orm_ormq_add")).status_code == 403
    row = rows["json"]
    change = reverse("admin:qcore_orm_ormq_change", args=[row.pk])
    assert admin_client.post(change, {"key": "other"}).status_code == 403
    admin_client.post(
        reverse(LIST),
        {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"},
    )
    assert not OrmQ.objects.filter(pk=row.pk).exists()
    assert OrmQ.objects.count() == len(rows) - 1


def test_the_list_can_be_filtered_by_queue(admin_client, rows):
    answer = admin_client.get(reverse(LIST), {"key": "another"})
    assert "0 queued tasks" in answer.content.decode()


def test_the_table_is_that_of_the_broker(rf):
    page = admin.site._registry[OrmQ]
    with override_settings(Q_CLUSTER={"orm": "queue_database"}):
        assert page.get_queryset(rf.get("/")).db == "queue_database"


@pytest.mark.parametrize("settings", [{"redis": {}}, {}, {"workers": "many"}])
def test_the_table_is_hidden_with_another_broker(admin_client, settings):
    with override_settings(Q_CLUSTER=settings):
        assert admin_client.get(reverse(LIST)).status_code == 403
        assert (
            "Queued tasks"
            not in admin_client.get(reverse("admin:index")).content.decode()
        )


def test_queued_tasks_are_cancelled(admin_client):
    waits, broken = queue(package(body=b"[[], {}]")), queue(b"garbled")
    data = {"action": "cancel_tasks", "_selected_action": [waits.pk, broken.pk]}
    page = admin_client.post(reverse(LIST), data, follow=True).text
    assert "Asked to cancel 1 task" in page
    assert "Of 1 selected rows, the task cannot be read" in page
    assert Ticket.objects.get(task_id=waits.task_id).cancelled is not None
    assert OrmQ.objects.count() == 2, "each of them ends at its claim"
