"""Every page of the admin, asked for everything: none of them is an error page.

A crawl of pages x parameters x permissions; then what staff may see, wherever it is shown.
"""

from __future__ import annotations

import datetime as dt
from urllib.parse import urljoin

import pytest
from django.apps import apps
from django.contrib.admin import AdminSite, site
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import path, reverse
from django.utils import timezone
from support.staff import permit

from qcore.admin.base import MAX_SEARCH, MAX_WORDS
from qcore.envelope import Attempt, Outcome
from qcore.models import Quarantine, Schedule, Success, Task
from qcore.results.orm import OrmStore
from qcore.runtime import current
from qcore.tasks import pause
from qcore.tasks.calls import build

pytestmark = pytest.mark.django_db

#: A word that must not be found where arguments are hidden, or among secrets.
CANARY = "canary-4f1e"

HAS_QUEUE = apps.is_installed("qcore_orm")
SETTINGS = {"name": "tests", **({"orm": "default"} if HAS_QUEUE else {})}

MODELS = {
    "success": "qcore",
    "failure": "qcore",
    "schedule": "qcore",
    "quarantine": "qcore",
    "queuepause": "qcore",
    "tracked": "qcore",
    **({"ormq": "qcore_orm"} if HAS_QUEUE else {}),
}

#: The pages of one row; tracked tasks go by age alone.
PAGES = {"": ("change", "delete", "history"), "tracked": ("change", "history")}

HUGE = "9" * 30
#: What somebody may write behind the question mark of a list.
PARAMETERS = [
    "",
    *(f"q={text}" for text in ("%00", "a%00b", "%ED%A0%80", "%FF", "'%22%3B--", HUGE)),
    "q=" + "a" * 20_000,
    "q=" + "+".join("a" * 1000),
    *(
        f"{name}={value}"
        for name in ("group", "func", "cluster", "key", "reason", "queue", "paused__exact",
                     "schedule_type__exact")
        for value in ("%00", "%ED%A0%80", "%F0%9F%98%80", "a" * 300, HUGE)
    ),
    *(
        f"{name}={value}"
        for name in ("at__gte", "next_run__gte", "next_run__lt", "at__year", "stopped__gte")
        for value in (
            "%00", "never", HUGE, "0", "-1", "10000", "9999", "1", "0001-01-01",
            "0001-01-01+00:00:00%2B14:00", "9999-12-31+23:59:59-14:00", "2026-02-30",
        )
    ),
    "at__year=2026&at__month=13", "at__year=2026&at__month=2&at__day=30",
    "at__year=9999&at__month=12&at__day=31", "at__year=2026&at__month=11",
    *(f"id__exact={key}" for key in ("%00", "x", HUGE, "-1")),
    *(f"pk__in={key}" for key in ("1,2", "x", f"{HUGE},1")),
    *(f"{name}={n}" for name in ("p", "o", "all", "e", "_facets", "_popup", "_to_field")
      for n in ("%00", "-1", HUGE, "1.2.x", "id")),
    "no_such_field=1", "no_such_field__regex=(", "group__no_such_lookup=1",
]  # fmt: skip

KEYS = ["%00", "x" * 300, HUGE, "-1", "0", "%ED%A0%80", "_00", "../..", "%F0%9F%98%80"]


@pytest.fixture(autouse=True)
def settings_of_the_project():
    with override_settings(Q_CLUSTER=SETTINGS):
        current.reset()
        yield
    current.reset()


@pytest.fixture
def rows(make) -> dict[str, object]:
    """One row for each page, all with the canary in what they are called with."""
    kwargs = {"card": CANARY, "password": f"{CANARY}-pw"}
    url = f"redis://shop:{CANARY}@h/0"
    body = b'[["' + url.encode() + b'"],{"card":"' + CANARY.encode() + b'"}]'
    store = OrmStore(current.conf)
    good = make({"token": CANARY}, body=body, group="g")
    bad = make(outcome=Outcome.FAILURE, error=f"Lost {url}\n\nat {url}", body=body)
    store.save([good, bad])
    store.quarantine("mail", CANARY.encode() * 5, "BadPackage", "not a package")
    found: dict[str, object] = {
        "success": good.task.id,
        "failure": bad.task.id,
        "quarantine": Quarantine.objects.get().pk,
        "schedule": Schedule.objects.create(
            func="math.sqrt", name="s", args=f'["{CANARY}"]', task=good.task.id,
            kwargs=f'{{"card":"{CANARY}","password":"{CANARY}"}}', error=f"Lost {url}",
            schedule_type="D",
        ).pk,
    }  # fmt: skip
    sent = build("chores.kind.takes_anything", (url,), kwargs, track=True)
    current.tracker.write([(sent, "tests", None)])
    failed = Attempt.failed("failure", f"ValueError: at {url}").result(sent, 1)
    current.tracker.end([failed])
    found["tracked"] = sent.id
    pause("mail", reason="a reason", by="ann")
    found["queuepause"] = "mail"
    if HAS_QUEUE:
        from qcore_orm.models import OrmQ

        task = build("chores.kind.takes_anything", (url,), kwargs)
        OrmQ.objects.create(key="tests", payload=current.signer.sign(task), visible=0)
        found["ormq"] = OrmQ.objects.get().pk
    return found


def staff(*codes: str) -> Client:
    user = User.objects.create_user(f"staff{User.objects.count()}", is_staff=True)
    if "delete_queuepause" in codes:  # whose row goes when the queue is resumed
        codes = (*codes, "control_queue")
    if "view_tracked" in codes:  # which are seen by those who see results
        codes = (*codes, "view_task")
    permit(user, *codes)
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def url(model: str, page: str = "changelist", *args: object) -> str:
    return reverse(f"admin:{MODELS[model]}_{model}_{page}", args=args)


# -- whatever is asked -----------------------------------------------------------------------
# Django warns of a date without a zone, in production to the log
@pytest.mark.filterwarnings("ignore:DateTimeField .* received a naive")
@pytest.mark.fault("H4")
@pytest.mark.parametrize("model", MODELS)
def test_no_list_is_an_error_page(model, rows):
    codes = (f"view_{model}", f"change_{model}", f"delete_{model}", "view_args")
    client, looker = staff(*codes), staff(f"view_{model}")
    wrong, shown = [], {}
    for number, parameter in enumerate(PARAMETERS):
        # who may only look has the same filters, and fewer columns
        one = client if number % 5 else looker
        answer = one.get(f"{url(model)}?{parameter}")
        if answer.status_code == 302:  # nearly always to ?e=1, which is shown once
            place = one, urljoin(url(model), answer.url)
            if place not in shown:
                shown[place] = one.get(place[1], follow=True)
            answer = shown[place]
        if answer.status_code not in (200, 400):
            wrong.append((parameter[:60], answer.status_code))
    assert not wrong


@pytest.mark.fault("H4")
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("page", ["change", "delete", "history"])
def test_no_page_of_a_row_is_an_error_page(model, page, rows):
    client = staff(f"view_{model}", f"change_{model}", f"delete_{model}", "view_args")
    expected = 200 if page in PAGES.get(model, PAGES[""]) else 403
    assert client.get(url(model, page, rows[model])).status_code == expected
    base = url(model)
    for key in KEYS:
        answer = client.get(f"{base}{key}/{page}/", follow=True)
        assert answer.status_code in (expected, 404), key
        answer = client.post(f"{base}{key}/{page}/", {"post": "yes"}, follow=True)
        assert answer.status_code in (200, 403, 404, 405), key


@pytest.mark.fault("H4")
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("key", ["\0", "x" * 300, HUGE, "-1", "�"])
def test_no_action_is_an_error_page(model, key, rows):
    client = staff(f"view_{model}", f"delete_{model}", "resubmit_task")
    for action in ("delete_selected", "resubmit_task", "no_such_action", "\0"):
        data = {"action": action, "_selected_action": [key], "post": "yes"}
        answer = client.post(url(model), data, follow=True)
        assert answer.status_code == 200, action
    assert client.get(url(model, "change", rows[model])).status_code == 200


@pytest.mark.fault("H4")
@pytest.mark.parametrize("value", ["%00", HUGE, "1" * 5000, "0001-01-01", "∞"])
def test_no_form_is_an_error_page(value, rows):
    client = staff("view_schedule", "add_schedule", "change_schedule", "view_args")
    names = [
        *(
            "name",
            "func",
            "hook",
            "cluster",
            "args",
            "kwargs",
            "schedule_type",
            "minutes",
        ),
        *("cron", "next_run_0", "next_run_1", "repeats", "intended_date_kwarg"),
    ]
    right = {"func": "math.sqrt", "args": "[4]", "schedule_type": "D", "repeats": "-1"}
    for address in (
        url("schedule", "add"),
        url("schedule", "change", rows["schedule"]),
    ):
        for name in names:
            text = value.replace("%00", "\0")
            data = dict.fromkeys(names, "") | right | {name: text}
            answer = client.post(address, data, follow=True)
            assert answer.status_code == 200, (address, name)


@pytest.mark.parametrize(
    ("text", "is_searched"),
    [
        ("a" * MAX_SEARCH, True),
        ("a" * (MAX_SEARCH + 1), False),
        (" ".join("a" * MAX_WORDS), True),
        (" ".join("a" * (MAX_WORDS + 1)), False),
    ],
)
def test_a_search_has_the_length_that_a_person_types(rows, text, is_searched):
    page = staff("view_success").get(url("success"), {"q": text}).text
    assert ("Nothing was searched" not in page) is is_searched


def test_dates_lead_to_days_where_the_database_knows_zones(rows):
    """MariaDB and MySQL know none until somebody fills their tables."""
    client = staff("view_quarantine", "view_args")
    for zone in ("UTC", "Europe/Berlin", "Asia/Kathmandu"):
        with timezone.override(zone):
            answer = client.get(url("quarantine"))
            converts = zone == "UTC" or connection.features.has_zoneinfo_database
            assert answer.status_code == 200
            assert (answer.context["cl"].date_hierarchy == "at") is bool(converts)
            # not today, which may have begun since
            day = timezone.localdate(Quarantine.objects.get().at)
            chosen = {"at__year": day.year, "at__month": day.month, "at__day": day.day}
            assert "BadPackage" in client.get(url("quarantine"), chosen).text
            later = day + dt.timedelta(days=40)
            chosen = {"at__year": later.year, "at__month": later.month}
            assert "BadPackage</td>" not in client.get(url("quarantine"), chosen).text


# -- what is hidden stays hidden ---------------------------------------------------------------
def pages(model: str, key: object) -> list[str]:
    return [
        url(model),
        f"{url(model)}?q=s",
        *(url(model, page, key) for page in PAGES.get(model, PAGES[""])),
    ]


@pytest.mark.fault("H11")
@pytest.mark.parametrize("model", MODELS)
def test_arguments_are_on_no_page_without_the_permission(model, rows):
    codes = [f"{verb}_{model}" for verb in ("view", "change", "delete")]
    client = staff(*codes, "resubmit_task")
    for page in pages(model, rows[model]):
        answer = client.get(page)
        assert answer.status_code == 200
        assert CANARY not in answer.text, page


@pytest.mark.fault("H11")
@pytest.mark.parametrize("model", MODELS)
def test_who_may_see_arguments_sees_no_secret_among_them(model, rows):
    client = staff(f"view_{model}", f"delete_{model}", "view_args")
    for page in pages(model, rows[model]):
        text = client.get(page).text
        assert f"{CANARY}-pw" not in text
        assert f":{CANARY}@" not in text
    if model in ("success", "failure", "schedule", "ormq", "tracked"):
        shown = client.get(url(model, "change", rows[model])).text
        assert CANARY in shown, "it is no secret under that name"
        assert "***" in shown


@pytest.mark.fault("H11")
@pytest.mark.parametrize("model", [m for m in MODELS if m != "queuepause"])
def test_no_filter_finds_out_what_is_hidden(model, rows):
    """Else a password is found letter by letter, from lists of none and of one."""
    client = staff(f"view_{model}")
    table = apps.get_model(MODELS[model], model)
    hidden = {"payload", "value", "package", "args", "kwargs", "options", "detail"}
    hidden &= {field.name for field in table._meta.get_fields()}
    assert hidden
    for column in hidden:
        for how in ("", "__contains", "__startswith", "__regex", "__gt", "__exact"):
            answer = client.get(url(model), {f"{column}{how}": "x"})
            assert answer.status_code == 400, (column, how)


def test_who_may_change_a_schedule_need_not_see_its_arguments(rows):
    client = staff("view_schedule", "change_schedule")
    row = Schedule.objects.get(pk=rows["schedule"])
    address = url("schedule", "change", row.pk)
    form = {
        "name": "s", "func": "math.sqrt", "schedule_type": "D", "repeats": "7",
        "next_run_0": "2030-01-01", "next_run_1": "00:00", "args": "[9]",
    }  # fmt: skip
    # its arguments do not fit the function: told, and not what they are
    answer = client.post(address, form)
    assert answer.status_code == 200
    assert "the value is wrong, and you may not see it" in answer.text
    assert CANARY not in answer.text
    Schedule.objects.update(args="[4]", kwargs="")
    assert client.post(address, form).status_code == 302
    row.refresh_from_db()
    assert (row.repeats, row.args) == (7, "[4]")
    history = client.get(url("schedule", "history", row.pk)).text
    assert CANARY not in history


# -- other sites, other databases ----------------------------------------------------------------
ops = AdminSite(name="ops")
for _model in (Schedule, Quarantine):
    ops.register(_model, type(site._registry[_model]))
urlpatterns = [path("ops/", ops.urls), path("admin/", site.urls)]


@override_settings(ROOT_URLCONF=__name__)
def test_a_site_without_pages_of_results_shows_schedules(rows):
    client = staff("view_schedule", "view_quarantine")
    for name in ("schedule", "quarantine"):
        listed = client.get(f"/ops/qcore/{name}/")
        shown = client.get(f"/ops/qcore/{name}/{rows[name]}/change/")
        assert (listed.status_code, shown.status_code) == (200, 200)
    assert str(rows["success"]) in listed.text or name != "schedule"


def test_the_last_run_is_told_without_a_query_for_each(rows, django_assert_num_queries):
    client = staff("view_schedule")
    with CaptureQueriesContext(connection) as few:
        assert client.get(url("schedule")).status_code == 200
    for number in range(20):
        Schedule.objects.create(
            func="math.sqrt", task=f"{number:032x}", name=f"{number}"
        )
    with django_assert_num_queries(len(few)):
        page = client.get(url("schedule")).text
    assert f"/success/{rows['success']}/change/" in page
    assert Success.objects.count() == Task.objects.filter(success=True).count()
