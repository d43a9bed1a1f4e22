"""The page of tracked tasks, and priority and expiry on the other pages."""

from __future__ import annotations

import datetime as dt
import re
import time

import pytest
from django.contrib.auth.models import User
from django.test import override_settings
from django.urls import reverse
from django.utils import timezone
from support.staff import permit

from qcore.admin import tracked
from qcore.admin.shown import moment
from qcore.errors import BrokerUnavailable
from qcore.models import OutboxRow, Success, Tracked
from qcore.runtime import current
from qcore.status import Progress
from qcore.tasks import async_task
from qcore.testing.drain import drain

pytestmark = pytest.mark.django_db

ADD = "chores.kind.add"


@pytest.fixture(autouse=True)
def settings_of_the_project():
    # tracked tasks of its queue are written in the transaction of the test
    with override_settings(Q_CLUSTER={"name": "tests", "orm": "default"}):
        current.broker().purge_queue()
        yield
        current.broker().purge_queue()


@pytest.fixture
def staff(client):
    def staff(*codes):
        user = User.objects.create_user("staff", is_staff=True)
        permit(user, *codes)
        client.force_login(user)
        return client

    return staff


def url(model, *args):
    page = "change" if args else "changelist"
    return reverse(f"admin:qcore_{model}_{page}", args=args)


def cell(text, name):
    found = re.search(
        rf'<t[dh] class="field-{name}[^>]*>(.*?)</t[dh]>', text, re.DOTALL
    )
    return found[1].strip() if found else None


def send(*args, **options):
    return async_task(ADD, *args, q_options={"track": True} | options)


class _Worker:
    def __init__(self, task_id, told):
        self.task_id, self.progress = task_id, told


class _Cluster:
    def __init__(self, *workers):
        self.workers = workers


def runs(task_id):
    Tracked.objects.filter(pk=task_id).update(state="running", started=time.time())


def test_the_state_of_each_task_is_told(admin_client):
    text = admin_client.get(url("tracked")).text
    assert "0 tracked tasks" in text
    task_id = send(1, 2, priority=7)
    text = admin_client.get(url("tracked")).text
    assert (cell(text, "state_now"), cell(text, "priority")) == ("waiting", "7")
    drain()
    text = admin_client.get(url("tracked")).text
    assert (cell(text, "state_now"), cell(text, "attempt_count")) == ("succeeded", "1")
    assert "<pre>3</pre>" in admin_client.get(url("tracked", task_id)).text


def test_a_task_for_later_is_scheduled_and_a_parked_one_parked(admin_client):
    task_id = send(1, delay=3600)
    assert cell(admin_client.get(url("tracked")).text, "state_now") == "scheduled"
    OutboxRow.objects.create(
        due=None, queue="tests", task_id=task_id, package=b"x", held_by="limits"
    )
    assert cell(admin_client.get(url("tracked")).text, "state_now") == "parked"


def test_a_failed_task_shows_its_errors_without_secrets(admin_client):
    task_id = async_task(
        "chores.kind.fail",
        "no redis://:hush@h/0",
        q_options={"track": True},
    )
    drain(raises=False)
    text = admin_client.get(url("tracked", task_id)).text
    assert "builtins.ValueError" in text
    assert "Traceback" in text
    assert "hush" not in text


def test_the_progress_of_a_running_task_is_a_bar(admin_client, monkeypatch):
    one, two = send(1), send(2)
    runs(one)
    told = Progress(done=2, total=5, note="<b> at redis://:hush@h/0")
    monkeypatch.setattr(tracked, "running", lambda: [_Cluster(_Worker(one, told))])
    text = admin_client.get(url("tracked"), {"q": one}).text
    assert cell(text, "state_now") == "running"
    shown = cell(text, "progress")
    assert '<progress max="1" value="0.400"' in shown
    assert "40%, 2 of 5: &lt;b&gt;" in shown
    assert "hush" not in text
    assert "<progress" in admin_client.get(url("tracked", one)).text
    assert "<progress" not in admin_client.get(url("tracked", two)).text
    told = Progress(done=2)
    assert cell(admin_client.get(url("tracked"), {"q": one}).text, "progress") == "2"


def test_clusters_are_asked_once_for_a_list_and_only_where_a_task_runs(
    admin_client, monkeypatch
):
    ids = [send(n) for n in range(3)]
    asked = []

    def running():
        asked.append(1)
        raise BrokerUnavailable("away")

    monkeypatch.setattr(tracked, "running", running)
    assert admin_client.get(url("tracked")).status_code == 200
    assert not asked
    for task_id in ids:
        runs(task_id)
    text = admin_client.get(url("tracked")).text
    assert (len(asked), cell(text, "progress")) == (1, "-")


def test_who_sees_results_sees_the_page_and_nobody_else(staff):
    task_id = send(1, 2)
    client = staff()
    assert client.get(url("tracked")).status_code == 403
    user = User.objects.get(username="staff")
    permit(user, "view_task")
    assert client.get(url("tracked", task_id)).status_code == 200
    assert "cancel_tasks" not in client.get(url("tracked")).text
    permit(user, "cancel_task")
    data = {"action": "cancel_tasks", "_selected_action": [task_id]}
    text = client.post(url("tracked"), data, follow=True).text
    assert "Asked to cancel 1 task" in text
    with override_settings(Q_CLUSTER={"name": "tests", "ledger": "no such"}):
        assert client.get(url("tracked")).status_code == 403


def test_priority_and_expiry_stand_on_the_other_pages(admin_client):
    expires = (timezone.now() + dt.timedelta(days=1)).replace(microsecond=0)
    shown = moment(expires)
    options = {"priority": 9, "expires": expires}
    good = async_task(ADD, 1, q_options=options)
    bad = async_task("chores.kind.fail", q_options=options)
    alone = async_task(ADD, 2, q_options={"expires": expires})
    drain(raises=False)
    assert shown in admin_client.get(url("success", alone)).text
    Success.objects.filter(id=alone).delete()
    for model, task_id in (("success", good), ("failure", bad)):
        assert cell(admin_client.get(url(model)).text, "priority") == "9"
        page = admin_client.get(url(model, task_id)).text
        assert shown in page
    async_task(ADD, 2, q_options=options | {"delay": 1800})
    OutboxRow.objects.create(
        due=expires.timestamp(), queue="tests", task_id=good,
        package=current.broker().delayed()[0][1],
    )  # fmt: skip
    text = admin_client.get(url("outboxrow")).text
    assert cell(text, "priority") == "9"
    assert cell(text, "expires") == shown
    OutboxRow.objects.update(package=b"x")
    text = admin_client.get(url("outboxrow")).text
    assert (cell(text, "priority"), cell(text, "expires")) == ("-", "-")
