"""Every action: who may do it, what it does, and what it asks first."""

from __future__ import annotations

import msgspec
import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.urls import reverse

from qcore.brokers.memory import MemoryBroker
from qcore.envelope import Outcome, Result, new_id
from qcore.errors import BrokerUnavailable
from qcore.models import Schedule, Task, Ticket
from qcore.results.fingerprint import fingerprint_of
from qcore.results.orm import OrmStore
from qcore.runtime import current
from qcore.tasks import pause, paused
from qcore_dashboard.contents import PAGES as OWN

pytestmark = pytest.mark.django_db

MEMORY = {"name": "tests", "broker_class": "qcore.brokers.memory.MemoryBroker"}
ALSO = {"task": "view_task", "dead": "view_task", "schedules": "view_schedule"}
#: Page, action, permission, and the form that the page sends.
ACTIONS = [
    ("queues", "pause", "control_queue", {"queue": "tests", "reason": "a deploy"}),
    ("queues", "resume", "control_queue", {"queue": "other"}),
    ("task", "cancel", "cancel_task", {"id": "scheduled"}),
    ("task", "send-again", "resubmit_task", {"id": "dead"}),
    ("dead", "send-again", "resubmit_task", {"func": "f", "fingerprint": "abc"}),
    ("dead", "discard", "delete_task", {"func": "f", "fingerprint": "abc"}),
    ("schedules", "run-now", "change_schedule", {"id": "declared"}),
    ("schedules", "pause", "change_schedule", {"id": "schedule"}),
    ("schedules", "resume", "change_schedule", {"id": "schedule"}),
]


@pytest.fixture(autouse=True)
def settings_of_the_project():
    with override_settings(Q_CLUSTER=MEMORY):
        yield


def act(slug: str, name: str) -> str:
    return reverse("admin:qcore_dashboard_act", args=[slug, name])


def form(world, given: dict) -> dict:
    return {key: getattr(world, str(value), value) for key, value in given.items()}


def do(client, slug: str, name: str, **given: object) -> tuple[int, str]:
    """Do something as a script does; return the status and what is told."""
    address = f"{act(slug, name)}?format=json"
    answer = client.post(address, given)
    told = answer.json()
    return answer.status_code, next(
        told[k] for k in ("done", "problem", "ask") if k in told
    )


def sent() -> list:
    return [current.signer.verify(d.package) for d in current.broker().dequeue(100)]


def state() -> tuple:
    """What an action could change."""
    return (
        [one.queue for one in paused()],
        sorted(Task.objects.values_list("pk", flat=True)),
        list(Schedule.objects.values_list("pk", "paused")),
        Ticket.objects.filter(cancelled__isnull=False).count(),
        current.broker().queue_size(),
    )


# -- who may -------------------------------------------------------------------------
def test_the_actions_are_those_that_are_tested():
    found = {(p.slug, a.name, a.permission) for p in OWN for a in p.actions}
    apps = {(slug, name, f"qcore.{code}") for slug, name, code, _ in ACTIONS}
    assert found == apps


@pytest.mark.parametrize(("slug", "name", "code", "given"), ACTIONS)
def test_an_action_takes_its_permission(client, staff, world, slug, name, code, given):
    data, before = form(world, given), state()
    seen = ["view_dashboard", *([ALSO[slug]] if slug in ALSO else [])]
    assert client.post(act(slug, name), data).status_code == 302  # to log in
    assert staff().post(act(slug, name), data).status_code == 403
    assert staff(*seen).post(act(slug, name), data).status_code == 403
    assert staff(code).post(act(slug, name), data).status_code == 403
    # nothing is done by a look
    assert staff(*seen, code).get(act(slug, name), data).status_code == 405
    assert state() == before
    answer = staff(*seen, code).post(act(slug, name), data)
    assert answer.status_code in {200, 302}


def test_an_action_takes_a_token(admin_user, world):
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    before = state()
    for slug, name, _, given in ACTIONS:
        assert client.post(act(slug, name), form(world, given)).status_code == 403
    assert state() == before


@pytest.mark.parametrize("value", ["", "x" * 300, "\0", "<img src=x>", "-1", "²"])
def test_no_form_is_an_error_page(admin_client, world, value):
    for slug, name, _, given in ACTIONS:
        data = dict.fromkeys(given, value)
        answer = admin_client.post(act(slug, name), data, follow=True)
        assert answer.status_code == 200, (slug, name)
        assert "<img src=x" not in answer.text, (slug, name)


def test_buttons_are_shown_to_those_who_may(staff, world):
    address = reverse("admin:qcore_dashboard_page", args=["queues"])
    assert "/do/" not in staff("view_dashboard").get(address).text
    text = staff("view_dashboard", "control_queue").get(address).text
    assert text.count("/do/") == 2  # one to pause, one to resume


def test_a_form_leads_back_and_never_to_another_site(admin_client, world):
    page = reverse("admin:qcore_dashboard_page", args=["queues"])
    for back in ("https://evil.example/", "//evil.example/", "javascript:alert(1)"):
        answer = admin_client.post(
            act("queues", "resume"), {"queue": "other", "back": back}
        )
        assert answer.url == page
    here = f"{page}?q=1"
    answer = admin_client.post(act("queues", "resume"), {"queue": "x", "back": here})
    assert answer.url == here


# -- what they do --------------------------------------------------------------------
def test_a_queue_is_paused_and_resumed(admin_client):
    assert do(admin_client, "queues", "pause", queue="q", reason="a deploy")[0] == 200
    (pause,) = paused()
    assert (pause.queue, pause.by, pause.reason) == ("q", "admin", "a deploy")
    status, told = do(admin_client, "queues", "pause", queue="q")
    assert (status, told) == (200, "q was paused by admin already.")
    assert do(admin_client, "queues", "resume", queue="q")[1] == "q is resumed."
    assert do(admin_client, "queues", "resume", queue="q")[1] == "q was not paused."


def test_people_are_told_on_the_page(admin_client):
    answer = admin_client.post(act("queues", "pause"), {"queue": "q"}, follow=True)
    assert "is paused: tasks that run go on" in answer.text


def test_a_task_is_cancelled(admin_client, world):
    status, told = do(admin_client, "task", "cancel", id=world.scheduled)
    assert status == 200
    assert told.endswith("is marked as cancelled; it was scheduled.")
    assert Ticket.objects.get(pk=world.scheduled).cancelled
    told = do(admin_client, "task", "cancel", id=world.succeeded)[1]
    assert told.endswith("has ended already; nothing was cancelled.")


def test_a_task_is_sent_again_once_however_many_press_the_button(admin_client, make):
    result = make(outcome=Outcome.FAILURE, func="math.sqrt", args=[4])
    OrmStore(current.conf).save([result])
    told = do(admin_client, "task", "send-again", id=result.task.id)[1]
    (task,) = sent()
    assert task.id in told
    assert not Task.objects.exists()
    told = do(admin_client, "task", "send-again", id=result.task.id)[1]
    assert "is not stored any more" in told
    assert sent() == []


def test_a_success_that_is_sent_again_stays(admin_client, make):
    result = make(func="math.sqrt", args=[4])
    OrmStore(current.conf).save([result])
    do(admin_client, "task", "send-again", id=result.task.id)
    assert len(sent()) == 1
    assert Task.objects.count() == 1


def test_what_cannot_be_sent_again_stays(admin_client, make, monkeypatch):
    def away(self, packages, *, delay=0):
        raise BrokerUnavailable("redis://u:canary@h is away")

    result = make(outcome=Outcome.FAILURE, func="math.sqrt", args=[4])
    OrmStore(current.conf).save([result])
    monkeypatch.setattr(MemoryBroker, "enqueue_many", away)
    status, told = do(admin_client, "task", "send-again", id=result.task.id)
    assert (status, told) == (503, "Redis://u:***@h is away")
    assert Task.objects.count() == 1


def test_a_group_of_dead_tasks(admin_client, make):
    """The count is shown first; only the tasks of the group are touched."""

    def failed(func: str, error: str, *, final: bool = True) -> Result:
        found = make(outcome="failure", error=error, func=func)
        return msgspec.structs.replace(found, final=final)

    group = [failed("shop.a", "KeyError: 'x'") for _ in range(3)]
    others = [
        failed("shop.a", "TypeError: x"),
        failed("shop.b", "KeyError: 'x'"),
        failed("shop.a", "KeyError: 'x'", final=False),
    ]
    OrmStore(current.conf).save([*group, *others])
    (key,) = {fingerprint_of(result) for result in group}
    given, name = {"func": "shop.a", "fingerprint": key}, f"shop.a ({key})"
    status, told = do(admin_client, "dead", "send-again", **given)
    assert (status, told) == (409, f"Send 3 dead tasks of {name} again?")
    page = admin_client.post(act("dead", "send-again"), given).text
    assert f"Send 3 dead tasks of {name} again?" in page
    assert 'name="sure"' in page
    assert sent() == []
    status, told = do(admin_client, "dead", "send-again", **given, sure="yes")
    assert told == f"3 of 3 dead tasks of {name} were sent again."
    assert len(sent()) == 3
    assert Task.objects.count() == 3
    told = do(admin_client, "dead", "send-again", **given, sure="yes")[1]
    assert told == f"There is no dead task of {name} any more."
    given = {"func": "shop.a", "fingerprint": fingerprint_of(others[0])}
    assert do(admin_client, "dead", "discard", **given)[0] == 409
    assert do(admin_client, "dead", "discard", **given, sure="yes")[0] == 200
    assert sorted(Task.objects.values_list("func", flat=True)) == ["shop.a", "shop.b"]


def test_a_schedule_runs_now_and_stays_where_it_is(admin_client):
    row = Schedule.objects.create(
        name="roots", func="math.sqrt", args="[4]", schedule_type="D"
    )
    status, told = do(admin_client, "schedules", "run-now", id=row.pk)
    assert status == 200
    do(admin_client, "schedules", "run-now", id=row.pk)
    first, second = sent()
    assert first.id in told
    assert (first.func, first.group) == ("math.sqrt", "roots")
    assert first.id != second.id
    assert Schedule.objects.get().next_run == row.next_run


def test_a_schedule_is_paused_and_resumed(admin_client):
    row = Schedule.objects.create(name="r", func="math.sqrt", schedule_type="D")
    assert do(admin_client, "schedules", "pause", id=row.pk)[1] == "r is paused."
    assert Schedule.objects.get().paused
    told = do(admin_client, "schedules", "pause", id=row.pk)[1]
    assert told == "r is paused already."
    assert do(admin_client, "schedules", "resume", id=row.pk)[1] == "r is resumed."
    assert not Schedule.objects.get().paused


def test_a_schedule_of_the_code_is_paused_there(admin_client):
    row = Schedule.objects.create(
        name="code", func="math.sqrt", schedule_type="D", declared=True
    )
    status, told = do(admin_client, "schedules", "pause", id=row.pk)
    assert status == 400
    assert "declared in the code" in told
    assert not Schedule.objects.get().paused


def test_a_schedule_that_is_gone_is_told(admin_client):
    status, told = do(admin_client, "schedules", "run-now", id=4711)
    assert (status, told) == (400, "There is no schedule 4711 any more.")


def test_the_user_is_the_one_of_the_session(staff):
    client = staff("view_dashboard", "control_queue")
    do(client, "queues", "pause", queue="q")
    assert paused()[0].by == User.objects.get().username
    pause("r")
    assert new_id() not in {one.queue for one in paused()}
