"""Every page of the admin, with and without permission."""

from __future__ import annotations

import datetime as dt
import html
import pickle
import re
from collections.abc import Callable

import msgspec
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone
from support.staff import permit

from qcore.brokers.memory import MemoryBroker
from qcore.envelope import Options, Outcome, new_id
from qcore.errors import BrokerUnavailable
from qcore.models import Failure, Schedule, Success, Task
from qcore.results.orm import OrmStore
from qcore.runtime import current
from qcore.tasks import pause, paused
from qcore.tasks.execute import decode

pytestmark = pytest.mark.django_db

SETTINGS = {"name": "tests", "broker_class": "qcore.brokers.memory.MemoryBroker"}
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(autouse=True)
def settings_of_the_project():
    with override_settings(Q_CLUSTER=SETTINGS):
        yield


@pytest.fixture
def save(make) -> Callable[..., Task]:
    def save(*args, **kwargs) -> Task:
        result = make(*args, **kwargs)
        OrmStore(current.conf).save([result])
        return Task.objects.get(id=result.task.id)

    return save


@pytest.fixture
def staff(client: Client) -> Callable[..., Client]:
    """Log in somebody of the staff who has these permissions."""

    def staff(*codes: str) -> Client:
        user = User.objects.create_user("staff", is_staff=True)
        permit(user, *codes)
        client.force_login(user)
        return client

    return staff


def url(model: str, page: str = "changelist", *args: object) -> str:
    return reverse(f"admin:qcore_{model}_{page}", args=args)


def sent() -> list:
    broker = current.broker()
    return [current.signer.verify(d.package) for d in broker.dequeue(100)]


def resubmit(client: Client, model: str, *rows: Task, **extra: object):
    data = {"action": "resubmit_task", "_selected_action": [row.pk for row in rows]}
    return client.post(url(model), data | extra, follow=True)


# -- looking -----------------------------------------------------------------------------
def test_the_app_has_the_label_of_the_project(admin_client):
    with override_settings(Q_CLUSTER=SETTINGS | {"label": "Night shift"}):
        assert "Night shift" in admin_client.get(reverse("admin:index")).text


def test_successful_tasks(admin_client, save):
    row = save({"sum": 3}, args=[1, 2], group="sums")
    save(outcome=Outcome.FAILURE, name="broken")
    page = admin_client.get(url("success")).text
    assert row.name in page
    assert "broken" not in page
    page = admin_client.get(url("success", "change", row.pk)).text
    assert "<pre>[1, 2]</pre>" in page
    assert "{&#x27;sum&#x27;: 3}" in page
    assert "0.250" in page


def test_failed_tasks(admin_client, save):
    row = save(outcome=Outcome.TIMEOUT, error="TaskTimeout: slow\n\nTraceback: deep")
    save(name="fine")
    page = admin_client.get(url("failure")).text
    assert row.name in page
    assert "TaskTimeout: slow" in page
    assert "Traceback" not in page
    assert "fine" not in page
    page = admin_client.get(url("failure", "change", row.pk)).text
    assert "Traceback: deep" in page


def test_elements_of_an_unfinished_iter_are_no_results_yet(admin_client, save):
    group = new_id()
    save(group=group, iter_index=0, iter_count=2, name="element")
    assert "element" not in admin_client.get(url("success")).text
    save(group=group, iter_index=1, iter_count=2, outcome="failure", name="element")
    assert "element" in admin_client.get(url("failure")).text


@pytest.mark.parametrize("model", ["success", "failure", "schedule"])
def test_empty_lists(admin_client, model):
    assert admin_client.get(url(model)).status_code == 200


@pytest.mark.parametrize("field", ["name", "func", "group", "id"])
def test_search(admin_client, save, field):
    row = save(name="needle", func="shop.needle", group="needle")
    other = save(name="hay", func="shop.hay", group="hay")
    term = row.pk if field == "id" else "needle"
    page = admin_client.get(url("success"), {"q": term}).text
    assert row.pk in page
    assert other.pk not in page


@pytest.mark.parametrize("column", ["group", "func", "cluster"])
def test_filters(admin_client, save, column):
    given = {"group": "blue", "func": "shop.blue", "queue": "blue"}
    row, other = save(**given), save()
    chosen = getattr(row, column)
    page = admin_client.get(url("success")).text
    assert f"?{column}={chosen}" in page
    page = admin_client.get(url("success"), {column: chosen}).text
    assert row.pk in page
    assert other.pk not in page


def test_results_cannot_be_added_or_changed(admin_client, save):
    row = save()
    assert admin_client.get(url("success", "add")).status_code == 403
    admin_client.post(url("success", "change", row.pk), {"name": "forged"})
    assert Task.objects.get().name == row.name


def test_results_can_be_deleted(admin_client, save):
    row, second = save(), save()
    answer = admin_client.post(url("success", "delete", row.pk), {"post": "yes"})
    assert answer.status_code == 302
    assert list(Task.objects.values_list("pk", flat=True)) == [second.pk]
    admin_client.post(
        url("success"),
        {"action": "delete_selected", "_selected_action": [second.pk], "post": "yes"},
    )
    assert not Task.objects.exists()


def test_lists_take_the_same_queries_however_long(
    admin_client, save, django_assert_max_num_queries
):
    for n in range(5):
        save(name=f"n{n}", group=f"g{n}")
        save(name=f"n{n}", outcome="failure")
    for model in ("success", "failure"):
        with django_assert_max_num_queries(10):
            admin_client.get(url(model))


# -- hostile content -----------------------------------------------------------------------
@pytest.mark.fault("H3")
def test_everything_is_escaped(admin_client, save):
    given = {"name": EVIL, "func": EVIL, "group": EVIL, "hook": EVIL, "queue": EVIL}
    row = save(EVIL, args=[EVIL], **given)
    failed = save(outcome="failure", error=f"{EVIL}\n{EVIL}", **given)
    schedule = Schedule.objects.create(
        name=EVIL, func=EVIL, error=EVIL, cluster=EVIL, task=EVIL[:32]
    )
    for address in (
        url("success"),
        url("failure"),
        url("schedule"),
        url("success", "change", row.pk),
        url("success", "delete", row.pk),
        url("failure", "change", failed.pk),
        url("schedule", "change", schedule.pk),
        url("schedule", "delete", schedule.pk),
        url("success") + f"?group={EVIL}&q={EVIL}",
    ):
        answer = admin_client.get(address)
        assert answer.status_code == 200
        assert "<img src=x" not in answer.text
        assert "&lt;img" in answer.text


class Bomb:
    """Raises when it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


@pytest.mark.fault("H6")
def test_no_pickle_is_opened(admin_client, make):
    settings = SETTINGS | {"serializer": "pickle"}
    bomb = pickle.dumps(Bomb())
    result = make(content="pickle", body=bomb)
    result = msgspec.structs.replace(
        result, value=bomb, task=msgspec.structs.replace(result.task, content="pickle")
    )
    failed = msgspec.structs.replace(
        result,
        outcome="failure",
        task=msgspec.structs.replace(result.task, id=new_id()),
    )
    with override_settings(Q_CLUSTER=settings):
        OrmStore(current.conf).save([result, failed])
        for model, stored in (("success", result), ("failure", failed)):
            assert admin_client.get(url(model)).status_code == 200
            page = admin_client.get(url(model, "change", stored.task.id)).text
            assert "not shown" in page
        resubmit(admin_client, "failure", Task.objects.get(id=failed.task.id))
        (task,) = sent()
        assert (task.content, task.body) == ("pickle", bomb)


def test_damaged_rows_are_shown(admin_client, save):
    row = save()
    Task.objects.update(payload="no json", value="{", options="")
    assert admin_client.get(url("success")).status_code == 200
    assert "unreadable" in admin_client.get(url("success", "change", row.pk)).text


# -- permissions -----------------------------------------------------------------------------
PAGES = [
    (model, page)
    for model in ("success", "failure", "schedule")
    for page in ("changelist", "change", "delete", "add")
]


@pytest.mark.parametrize(("model", "page"), PAGES)
@pytest.mark.fault("H1")
def test_nothing_is_open_to_strangers(client, staff, save, model, page):
    key = {
        "success": lambda: save().pk,
        "failure": lambda: save(outcome="failure").pk,
        "schedule": lambda: Schedule.objects.create(func="math.sqrt").pk,
    }[model]()
    address = url(model, page, *([key] if page in ("change", "delete") else []))
    answer = client.get(address)
    assert answer.status_code == 302
    assert "/login/" in answer.url
    assert staff().get(address).status_code == 403


@pytest.mark.fault("H1")
def test_who_may_only_look_can_only_look(staff, save):
    row = save(outcome="failure")
    client = staff("view_failure")
    page = client.get(url("failure")).text
    assert row.name in page
    assert "resubmit_task" not in page
    resubmit(client, "failure", row)
    assert sent() == []
    assert (
        client.post(url("failure", "delete", row.pk), {"post": "yes"}).status_code
        == 403
    )
    assert Failure.objects.exists()


@pytest.mark.fault("I2")
def test_arguments_need_a_permission_and_secrets_among_them_are_masked(staff, save):
    args = ["redis://shop:canary@h/0", 7, "plain"]
    kwargs = {"api_key": "canary", "author": "ann", "deep": [{"token": ["canary"]}]}
    row = save(outcome="failure", body=msgspec.json.encode([args, kwargs]))
    address = url("failure", "change", row.pk)
    client = staff("view_failure")
    shown = client.get(address).text
    assert row.func in shown
    assert "plain" not in shown
    assert "arguments" not in shown
    User.objects.get().user_permissions.add(
        Permission.objects.get(codename="view_args")
    )
    shown = client.get(address).text
    assert "plain" in shown
    assert "ann" in shown
    assert "redis://shop:***@h/0" in shown
    assert "canary" not in shown


@pytest.mark.fault("H1")
def test_sending_again_needs_its_own_permission(staff, save):
    row = save(outcome="failure")
    client = staff("view_failure", "resubmit_task")
    assert "resubmit_task" in client.get(url("failure")).text
    resubmit(client, "failure", row)
    assert len(sent()) == 1


@pytest.mark.fault("H2")
def test_no_post_is_taken_without_a_token(admin_user, save):
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    row = save(outcome="failure")
    assert resubmit(client, "failure", row).status_code == 403
    assert sent() == []


@pytest.mark.fault("H2")
def test_a_get_changes_nothing(admin_client, save):
    row = save(outcome="failure")
    data = {"action": "resubmit_task", "_selected_action": [row.pk]}
    admin_client.get(url("failure"), data, follow=True)
    assert sent() == []
    assert Failure.objects.exists()


# -- sending again -----------------------------------------------------------------------------
def test_a_failure_is_sent_again_and_goes(admin_client, admin_user, save):
    row = save(
        outcome="failure",
        args=[1, "two"],
        group="g",
        hook="shop.tasks.hook",
        queue="tests",
        options=Options(timeout=7),
        links=1,
    )
    page = resubmit(admin_client, "failure", row).text
    assert "1 task was sent again." in page
    (task,) = sent()
    assert task.id != row.pk
    assert decode(task) == ([1, "two"], {})
    assert (task.func, task.name, task.group, task.hook, task.queue) == (
        row.func,
        row.name,
        "g",
        "shop.tasks.hook",
        "tests",
    )
    assert (task.options.timeout, task.links) == (7, 1)
    assert not Failure.objects.exists()
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (admin_user, row.pk)
    assert task.id in entry.change_message


def test_a_success_that_is_sent_again_stays(admin_client, save):
    first, second = save(), save()
    page = resubmit(admin_client, "success", first, second).text
    assert "2 tasks were sent again." in page
    assert len(sent()) == 2
    assert Success.objects.count() == 2


def test_it_goes_to_the_queue_it_came_from(admin_client, save):
    resubmit(admin_client, "failure", save(outcome="failure", queue="long"))
    (delivery,) = current.broker("long").dequeue(1)
    assert current.signer.verify(delivery.package, "long").queue == "long"


def test_a_failure_that_cannot_be_sent_stays(admin_client, save, monkeypatch):
    def down(self, packages, *, delay=0):
        raise BrokerUnavailable("the broker is away")

    monkeypatch.setattr(MemoryBroker, "enqueue_many", down)
    page = resubmit(admin_client, "failure", save(outcome="failure")).text
    assert "The broker is away" in page
    assert "sent again" not in page.replace("Send the selected tasks again", "")
    assert Failure.objects.count() == 1
    assert not LogEntry.objects.exists()


def test_what_the_project_does_not_admit_is_not_signed(admin_client, save):
    evil = save(outcome="failure", func="os.system")
    good = save(outcome="failure", func="shop.tasks.add")
    with override_settings(Q_CLUSTER=SETTINGS | {"allowed_tasks": ["shop"]}):
        page = resubmit(admin_client, "failure", evil, good).text
        assert "does not admit os.system, its function" in page
        assert [task.func for task in sent()] == ["shop.tasks.add"]
        hooked = save(outcome="failure", func="shop.tasks.add", hook="os.system")
        page = resubmit(admin_client, "failure", hooked).text
        assert "does not admit os.system, its hook" in page
    Failure.objects.update(content="pickle")
    assert "accepts json" in resubmit(admin_client, "failure", evil).text


def test_a_joined_iter_is_not_sent_again(admin_client, make):
    store, group = OrmStore(current.conf), new_id()
    store.save([make(1, group=group, iter_index=0, iter_count=1)])
    store.collate(group, 1)
    page = resubmit(admin_client, "success", Task.objects.get()).text
    assert "async_iter" in page
    assert sent() == []


# -- schedules -----------------------------------------------------------------------------------
def form(**fields: object) -> dict[str, object]:
    empty = dict.fromkeys(
        ["name", "args", "kwargs", "hook", "cluster", "minutes", "cron"], ""
    )
    return (
        empty
        | {"func": "math.sqrt", "schedule_type": "D", "repeats": "-1"}
        | {"next_run_0": "", "next_run_1": "", "intended_date_kwarg": ""}
        | fields
    )


def test_a_schedule_is_added_changed_and_deleted(admin_client):
    assert admin_client.get(url("schedule", "add")).status_code == 200
    admin_client.post(url("schedule", "add"), form(name="roots", args="[4]"))
    row = Schedule.objects.get()
    assert (row.name, row.args, row.schedule_type) == ("roots", "[4]", "D")
    assert row.next_run is not None
    address = url("schedule", "change", row.pk)
    assert admin_client.get(address).status_code == 200
    admin_client.post(address, form(name="more", args="[9]", schedule_type="H"))
    row.refresh_from_db()
    assert (row.name, row.args, row.schedule_type) == ("more", "[9]", "H")
    admin_client.post(url("schedule", "delete", row.pk), {"post": "yes"})
    assert not Schedule.objects.exists()


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        (
            {"schedule_type": "C", "cron": "61 * * * *"},
            "minute 61 is out of range 0-59",
        ),
        ({"schedule_type": "C", "cron": "* * * * * *"}, "6 fields, expected 5"),
        ({"schedule_type": "I", "minutes": "0"}, "minutes is 0"),
        ({"args": "[1,"}, "args: json payload cannot be read"),
        ({"args": "7"}, "expected a JSON list"),
        ({"kwargs": "[]"}, "expected JSON like"),
        ({"func": "system"}, "is not a dotted path"),
        ({"func": "math.squirt"}, "did you mean &#x27;sqrt&#x27;"),
        ({"hook": "x y"}, "is not a dotted path"),
        ({"next_run_0": "0001-01-01", "next_run_1": "00:00:00"}, "of the year 1, expe"),
        ({"next_run_0": "9999-12-31", "next_run_1": "23:59:59"}, "of the year 9999,"),
    ],
)
def test_mistakes_are_shown_at_their_field(admin_client, fields, error):
    answer = admin_client.post(url("schedule", "add"), form(**fields))
    assert answer.status_code == 200
    assert error in answer.text
    assert not Schedule.objects.exists()


def test_a_name_is_given_once(admin_client):
    admin_client.post(url("schedule", "add"), form(name="roots", args="[4]"))
    page = admin_client.post(
        url("schedule", "add"), form(name="roots", args="[4]")
    ).text
    assert "already exists" in page
    assert Schedule.objects.count() == 1


@pytest.mark.fault("H5")
def test_only_admitted_functions_can_be_scheduled(admin_client):
    with override_settings(Q_CLUSTER=SETTINGS | {"allowed_tasks": ["shop.tasks"]}):
        page = admin_client.post(
            url("schedule", "add"), form(func="os.system", args='["id"]')
        ).text
        assert "admits only shop.tasks" in page
        admin_client.post(url("schedule", "add"), form(func="shop.tasks.report"))
    assert [row.func for row in Schedule.objects.all()] == ["shop.tasks.report"]


def test_a_changed_cron_gets_its_next_slot(admin_client):
    row = Schedule.objects.create(
        func="math.sqrt", args="[4]", schedule_type="C", cron="0 3 1 1 *"
    )
    before = row.next_run
    shown = {"next_run_0": f"{before:%Y-%m-%d}", "next_run_1": f"{before:%H:%M:%S}"}
    data = form(args="[4]", schedule_type="C", cron="* * * * *", **shown)
    admin_client.post(url("schedule", "change", row.pk), data)
    row.refresh_from_db()
    assert row.cron == "* * * * *"
    assert row.next_run < before


def posted(page: str, **fields: object) -> dict[str, object]:
    """Return what a browser sends of a page on which these fields were filled in."""
    found = {}
    for tag in re.findall(r"<(?:input|select|textarea)[^>]*>", page):
        attributes = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        if attributes.get("type") != "checkbox" and "name" in attributes:
            found[attributes["name"]] = html.unescape(attributes.get("value", ""))
    kept = {
        k: v for k, v in found.items() if "next_run" in k or k.startswith("initial-")
    }
    return form(args="[4]", schedule_type="H", repeats=found["repeats"]) | kept | fields


def due(**fields: object) -> Schedule:
    """Make a schedule that is due, at a moment between two seconds."""
    when = timezone.now().replace(microsecond=250_000) - dt.timedelta(minutes=1)
    usual = {"func": "math.sqrt", "args": "[4]", "schedule_type": "H", "next_run": when}
    return Schedule.objects.create(**usual | fields)


@pytest.mark.fault("F18")
@pytest.mark.parametrize("whole", [True, False], ids=["browser", "script"])
def test_a_form_that_is_old_sets_nothing_back(admin_client, whole):
    """A browser sends what the page has shown; a script may send the fields alone."""
    row = due(repeats=5)
    page = admin_client.get(url("schedule", "change", row.pk)).text
    data = posted(page, name="renamed")
    current.scheduler.tick()
    moved = Schedule.objects.get(pk=row.pk)
    assert (moved.repeats, moved.next_run) == (4, row.next_run + dt.timedelta(hours=1))
    if not whole:
        data = {k: v for k, v in data.items() if not k.startswith("initial-")}
    answer = admin_client.post(url("schedule", "change", row.pk), data, follow=True)
    saved = Schedule.objects.get(pk=row.pk)
    assert (saved.name, saved.next_run) == ("renamed", moved.next_run)
    assert saved.repeats == (4 if whole else 5)
    assert ("was sent already" in answer.text) is not whole
    current.scheduler.tick()
    assert len(sent()) == 1


def test_a_form_that_is_saved_in_time_keeps_the_fraction_of_a_second(admin_client):
    row = due()
    page = admin_client.get(url("schedule", "change", row.pk)).text
    data = posted(page, name="renamed", paused="on")
    admin_client.post(url("schedule", "change", row.pk), data)
    saved = Schedule.objects.get(pk=row.pk)
    assert (saved.name, saved.paused, saved.next_run) == ("renamed", True, row.next_run)


def test_what_is_changed_in_a_form_counts(admin_client):
    row = due(repeats=5)
    page = admin_client.get(url("schedule", "change", row.pk)).text
    later = {"next_run_0": "2031-01-01", "next_run_1": "10:00:00", "repeats": "9"}
    current.scheduler.tick()
    admin_client.post(url("schedule", "change", row.pk), posted(page, **later))
    saved = Schedule.objects.get(pk=row.pk)
    assert (saved.repeats, f"{saved.next_run:%Y-%m-%d %H}") == (9, "2031-01-01 10")


def test_changed_minutes_count_from_now_on(admin_client):
    when = timezone.now() + dt.timedelta(hours=20)
    row = due(schedule_type="I", minutes=1440, next_run=when)
    page = admin_client.get(url("schedule", "change", row.pk)).text
    data = posted(page, schedule_type="I", minutes="5")
    admin_client.post(url("schedule", "change", row.pk), data)
    row.refresh_from_db()
    assert row.next_run - timezone.now() <= dt.timedelta(minutes=5)


def test_the_last_run_is_linked(admin_client, save, django_assert_max_num_queries):
    good, bad = save(), save(outcome="failure")
    for task in (good.pk, bad.pk, new_id(), None):
        Schedule.objects.create(func="math.sqrt", task=task)
    with django_assert_max_num_queries(10):
        page = admin_client.get(url("schedule")).text
    assert url("success", "change", good.pk) in page
    assert url("failure", "change", bad.pk) in page
    assert "icon-yes" in page
    assert "icon-no" in page
    assert "icon-unknown" in page


def test_saving_a_repaired_schedule_clears_its_error(admin_client):
    row = Schedule.objects.create(
        func="math.sqrt", args="broken", error="args: broken", tries=5, paused=True
    )
    assert "args: broken" in admin_client.get(url("schedule")).text
    admin_client.post(url("schedule", "change", row.pk), form(args="[4]"))
    row.refresh_from_db()
    assert (row.error, row.tries, row.paused) == ("", 0, False)


# -- paused queues -----------------------------------------------------------------------
def test_a_queue_is_paused_and_resumed_by_who_may(client, db):
    user = User.objects.create_user("ann", is_staff=True)
    permit(user, "control_queue")
    client.force_login(user)
    add = reverse("admin:qcore_queuepause_add")
    data = {"queue": "mail", "reason": "the provider is down"}
    assert client.post(add, data).status_code == 302
    (one,) = paused()
    assert (one.queue, one.by, one.reason) == ("mail", "ann", data["reason"])
    assert "already exists" in client.post(add, data).text
    pause("parcels")
    page = reverse("admin:qcore_queuepause_changelist")
    shown = client.get(page).text
    assert "the provider is down" in shown
    action = {"action": "resume", "_selected_action": ["mail"]}
    assert "Resumed: mail." in client.post(page, action, follow=True).text
    assert [one.queue for one in paused()] == ["parcels"]
    delete = reverse("admin:qcore_queuepause_delete", args=["parcels"])
    assert client.post(delete, {"post": "yes"}).status_code == 302
    assert paused() == []


def test_who_may_only_look_pauses_and_resumes_nothing(client, db):
    pause("mail")
    user = User.objects.create_user("bob", is_staff=True)
    permit(user, "view_queuepause")
    client.force_login(user)
    page = reverse("admin:qcore_queuepause_changelist")
    assert "mail" in client.get(page).text
    add = reverse("admin:qcore_queuepause_add")
    assert client.post(add, {"queue": "letters"}).status_code == 403
    delete = reverse("admin:qcore_queuepause_delete", args=["mail"])
    assert client.post(delete, {"post": "yes"}).status_code == 403
    client.post(page, {"action": "resume", "_selected_action": ["mail"]})
    assert [one.queue for one in paused()] == ["mail"]
