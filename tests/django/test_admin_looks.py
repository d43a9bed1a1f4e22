"""How the pages of the admin look: what stands first, to the second, short, masked."""

from __future__ import annotations

import datetime as dt
import re

import msgspec
import pytest
from django.test import override_settings
from django.urls import reverse
from django.utils import timezone

from qcore.envelope import Options, Outcome
from qcore.models import OutboxRow, QueuePause, Schedule, Task
from qcore.results.orm import OrmStore
from qcore.runtime import current

pytestmark = pytest.mark.django_db

SETTINGS = {"name": "tests", "broker_class": "qcore.brokers.memory.MemoryBroker"}


@pytest.fixture(autouse=True)
def settings_of_the_project():
    with override_settings(Q_CLUSTER=SETTINGS):
        yield


@pytest.fixture
def save(make):
    def save(*args, final=True, **kwargs) -> Task:
        result = msgspec.structs.replace(make(*args, **kwargs), final=final)
        OrmStore(current.conf).save([result])
        return Task.objects.get(id=result.task.id)

    return save


def page(client, model: str, *key: object) -> str:
    name = f"admin:qcore_{model}_{'change' if key else 'changelist'}"
    return client.get(reverse(name, args=key)).text


def cell(text: str, column: str) -> str:
    found = re.search(
        rf"field-{column}[^>]*>(?:<a[^>]*>)?(.*?)</t[dh]>", text, re.DOTALL
    )
    assert found, column
    return found[1]


def test_the_heading_is_qcore_and_a_label_wins(admin_client):
    index = reverse("admin:index")
    assert ">qcore</a>" in re.sub(r"\s*\n\s*", "", admin_client.get(index).text)
    with override_settings(Q_CLUSTER=SETTINGS | {"label": "Night shift"}):
        text = admin_client.get(index).text
        assert "Night shift" in text
        assert ">qcore<" not in text


def test_the_error_of_a_failure_stands_before_the_times(admin_client, save):
    save(outcome=Outcome.FAILURE, error="ValueError: no such order")
    text = page(admin_client, "failure")
    first, second = text.index("field-short_result"), text.index("field-stopped_at")
    assert first < second


def test_times_have_seconds_and_ids_are_short(admin_client, save):
    row = save()
    text = page(admin_client, "success")
    wall = timezone.localtime(row.started)
    assert cell(text, "started_at") == f"{wall:%Y-%m-%d %H:%M:%S}"
    assert f'title="{row.pk}">{row.pk[-8:]}<' in cell(text, "short_id")
    assert f"{wall:%Y-%m-%d %H:%M:%S}" in page(admin_client, "success", row.pk)


def test_the_next_try_of_a_failure_is_told(admin_client, save):
    """By the outbox, by the lease, or none, where the attempts are used up."""
    moved = save(outcome=Outcome.FAILURE, final=False)
    due = dt.datetime(2100, 1, 1, 12, 30, 15, tzinfo=dt.UTC)
    OutboxRow.objects.create(
        due=due.timestamp(), queue="tests", task_id=moved.pk, package=b"x"
    )
    assert "2100-01-01 12:30:15" in cell(page(admin_client, "failure"), "next_try")
    OutboxRow.objects.update(held_by="flows:suspended")
    told = cell(page(admin_client, "failure"), "next_try")
    assert told.startswith("suspended, until 2100-01-01")
    assert "suspended, until 2100-01-01" in cell(
        page(admin_client, "outboxrow"), "sent_at"
    )
    OutboxRow.objects.update(due=None)
    assert cell(page(admin_client, "failure"), "next_try") == "suspended"
    OutboxRow.objects.update(held_by="limits")
    assert cell(page(admin_client, "failure"), "next_try") == "parked"
    OutboxRow.objects.all().delete()
    assert "lease" in cell(page(admin_client, "failure"), "next_try")
    assert "lease" in page(admin_client, "failure", moved.pk)
    Task.objects.all().delete()
    save(outcome=Outcome.FAILURE)
    assert cell(page(admin_client, "failure"), "next_try") == "-"
    Task.objects.all().delete()
    save(outcome=Outcome.CANCELLED)
    assert cell(page(admin_client, "failure"), "next_try") == "-"


def test_the_next_tries_of_a_list_are_one_query(
    admin_client, save, django_assert_max_num_queries
):
    for _ in range(5):
        save(outcome=Outcome.FAILURE, options=Options(max_attempts=5))
    page(admin_client, "failure")  # whether there are tables is asked once in a process
    with django_assert_max_num_queries(10):
        page(admin_client, "failure")


def test_a_schedule_is_told_in_words(admin_client):
    Schedule.objects.create(func="math.sqrt", cron="*/5 * * * *")
    row = Schedule.objects.create(func="math.sqrt", schedule_type="D", repeats=3)
    text = page(admin_client, "schedule")
    assert "for ever" in text
    assert "3 more" in text
    assert f"{timezone.localtime(row.next_run):%Y-%m-%d %H:%M:%S}" in text
    assert ">-1<" not in text


def test_what_people_wrote_is_masked_too(admin_client):
    QueuePause.objects.create(
        queue="tests", at=1.0, reason="see https://ann:canary@wiki/pause"
    )
    text = page(admin_client, "queuepause")
    assert "ann:***@wiki" in text
    assert "1970-01-01 00:00:01" in text
    assert "canary" not in text + page(admin_client, "queuepause", "tests")
