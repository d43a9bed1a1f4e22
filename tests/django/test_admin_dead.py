"""The admin of what has failed, and of what has not run yet: dead tasks, send again, cancel."""

from __future__ import annotations

import msgspec
import pytest
from django.urls import reverse
from support.staff import permit

from qcore.envelope import RESENT_FROM, Outcome, new_id
from qcore.models import Failure, OutboxRow, Task, Ticket
from qcore.results.orm import OrmStore
from qcore.runtime import current
from qcore.tasks.calls import build
from qcore.testing.drain import enqueued
from qcore.testing.fixtures import qcore_queue  # noqa: F401 - a fixture

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("qcore_queue")]

TRACE = '\n\nTraceback (most recent call last):\n  File "/srv/shop/{}.py", line 1, in f'


@pytest.fixture
def save(make):
    def save(place="tasks", *, final=True, **kwargs) -> Task:
        error = f"ValueError: {place}{TRACE.format(place)}"
        kwargs = {"outcome": Outcome.FAILURE, "error": error, "queue": "tests"} | kwargs
        result = msgspec.structs.replace(make(**kwargs), final=final)
        OrmStore(current.conf).save([result])
        return Task.objects.get(id=result.task.id)

    return save


@pytest.fixture
def member(client, django_user_model):
    """Log in a member of the staff with some permissions, and return the client."""

    def member(*codes):
        user = django_user_model.objects.create_user("ann", is_staff=True)
        permit(user, *codes)
        client.force_login(user)
        return client

    return member


def failures(client, **asked):
    return client.get(reverse("admin:qcore_failure_changelist"), asked).text


def act(client, model, action, *rows):
    data = {"action": action, "_selected_action": [row.pk for row in rows]}
    return client.post(reverse(f"admin:qcore_{model}_changelist"), data, follow=True)


def send(client, row, model="failure"):
    address = reverse(f"admin:qcore_{model}_resend", args=[row.pk])
    return client.post(address, follow=True)


def test_the_dead_are_told_from_those_that_are_tried_again(admin_client, save):
    dead, tried = save(name="the-dead"), save(name="the-tried", final=False)
    every = failures(admin_client)
    assert dead.name in every
    assert tried.name in every
    only = failures(admin_client, dead="yes")
    assert dead.name in only
    assert tried.name not in only
    others = failures(admin_client, dead="no")
    assert dead.name not in others
    assert tried.name in others


def test_errors_are_offered_as_groups(admin_client, save):
    first, second = save("tasks", name="of-tasks"), save("mail", name="of-mail")
    save("tasks", name="other-of-tasks")
    text = failures(admin_client)
    assert "2 × shop.tasks.add: ValueError: tasks" in text
    assert "1 × shop.tasks.add: ValueError: mail" in text
    one = failures(admin_client, fingerprint=first.fingerprint)
    assert first.name in one
    assert second.name not in one
    assert failures(admin_client, fingerprint="'\"<script>").count("<script>") == 0


def test_a_group_is_sent_again_by_the_action(admin_client, save):
    rows = [save(), save(), save("mail")]
    text = act(admin_client, "failure", "resubmit_task", *rows[:2]).text
    assert "2 tasks were sent again." in text
    assert {task.headers[RESENT_FROM] for task in enqueued()} == {
        row.pk for row in rows[:2]
    }
    assert [row.pk for row in Failure.objects.all()] == [rows[2].pk]


@pytest.mark.parametrize("model", ["failure", "success"])
def test_the_page_of_a_task_has_a_button(admin_client, save, model):
    more = {} if model == "failure" else {"outcome": Outcome.SUCCESS}
    row = save(priority=5, **more)
    page = admin_client.get(reverse(f"admin:qcore_{model}_change", args=[row.pk])).text
    assert reverse(f"admin:qcore_{model}_resend", args=[row.pk]) in page
    text = send(admin_client, row, model).text
    (task,) = enqueued()
    assert f"Sent again as {task.id}." in text
    assert task.priority == 5
    assert Task.objects.filter(pk=row.pk).exists() is (model == "success")


def test_where_a_task_comes_from_is_shown(admin_client, save):
    origin = new_id()
    row = save(headers={RESENT_FROM: origin})
    assert (
        origin
        in admin_client.get(reverse("admin:qcore_failure_change", args=[row.pk])).text
    )


def test_one_that_cannot_be_sent_stays_and_says_why(admin_client, save):
    row = save()
    Task.objects.filter(pk=row.pk).update(content="pickle", payload="gASVAA==")
    text = send(admin_client, row).text
    assert "accepts json" in text
    assert Task.objects.filter(pk=row.pk).exists()
    assert enqueued() == []
    row.delete()
    assert "This result was deleted" in send(admin_client, row).text


def test_without_permission_nothing_is_sent_or_cancelled(member, save):
    client, row = member("view_failure"), save()
    page = client.get(reverse("admin:qcore_failure_change", args=[row.pk])).text
    assert "Send again" not in page
    assert send(client, row).status_code == 403
    act(client, "failure", "resubmit_task", row)
    act(client, "failure", "cancel_tasks", row)
    assert enqueued() == []
    assert not Ticket.objects.exists()
    assert client.get(reverse("admin:qcore_outboxrow_changelist")).status_code == 403


def test_a_look_sends_nothing(admin_client, save):
    address = reverse("admin:qcore_failure_resend", args=[save().pk])
    assert admin_client.get(address).status_code == 405
    assert enqueued() == []


def test_what_is_tried_again_is_cancelled(member, save):
    client, row = member("view_failure", "cancel_task"), save(final=False)
    text = act(client, "failure", "cancel_tasks", row).text
    assert "Asked to cancel 1 task" in text
    assert Ticket.objects.get(task_id=row.pk).cancelled is not None


def test_what_is_sent_later_is_seen_and_cancelled(member):
    client = member("cancel_task")
    task = build("chores.kind.add", (1,))
    package = current.signer.sign(task)
    row = OutboxRow.objects.create(
        due=4e9, queue=task.queue, task_id=task.id, package=package
    )
    OutboxRow.objects.create(
        due=None, queue=task.queue, task_id="0" * 32, package=b"garbled"
    )
    text = client.get(reverse("admin:qcore_outboxrow_changelist")).text
    assert "chores.kind.add" in text
    assert "parked" in text
    assert "unreadable" in text
    assert "delete_selected" not in text
    page = client.get(reverse("admin:qcore_outboxrow_change", args=[row.pk])).text
    assert task.id in page
    text = act(client, "outboxrow", "cancel_tasks", row).text
    assert "Asked to cancel 1 task" in text
    assert Ticket.objects.get(task_id=task.id).cancelled is not None


def test_a_task_that_has_ended_is_not_cancelled(admin_client, save):
    row = save(final=False)
    Ticket.objects.create(task_id=row.pk, final="success", ended=1.0)
    assert (
        "1 task had ended already."
        in act(admin_client, "failure", "cancel_tasks", row).text
    )


@pytest.mark.parametrize(
    "asked",
    ["q=%00", "queue=%00", "queue=%F0%9F%98%80", "p=999999", "o=9.9", "id__exact=x"],
)
def test_odd_addresses_of_what_is_sent_later_are_no_error_pages(admin_client, asked):
    address = reverse("admin:qcore_outboxrow_changelist")
    assert admin_client.get(f"{address}?{asked}", follow=True).status_code == 200
    odd = reverse("admin:qcore_outboxrow_change", args=["9" * 30])
    assert admin_client.get(odd, follow=True).status_code == 200
