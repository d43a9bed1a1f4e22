"""Every page: who may see it, what it shows, and what it never shows."""

from __future__ import annotations

import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.db import OperationalError, connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from jsonschema import Draft202012Validator

from qcore.brokers.memory import MemoryBroker
from qcore.envelope import new_id
from qcore.errors import BrokerUnavailable
from qcore.models import OutboxRow, Task
from qcore.models.tracked import Tracked
from qcore.runtime import current
from qcore.tasks import pause, status
from qcore_dashboard.contents import PAGES as OWN
from qcore_dashboard.models import Minute

pytestmark = pytest.mark.django_db

SCHEMA = json.loads(
    Path(__file__).parents[3].joinpath("docs/schemas/dashboard-1.json").read_text()
)
PAGES = ("overview", "queues", "tasks", "dead", "schedules", "clusters", "system")
#: The permission that a page takes besides view_dashboard.
ALSO = {
    "tasks": "view_task",
    "task": "view_task",
    "dead": "view_task",
    "schedules": "view_schedule",
    "system": "view_system",
}
EVIL, EVIL_END, SECRET = "<img src=x", "{{7*7}}", "canary"
MEMORY = {"name": "tests", "broker_class": "qcore.brokers.memory.MemoryBroker"}


@pytest.fixture(autouse=True)
def settings_of_the_project():
    with override_settings(Q_CLUSTER=MEMORY):
        yield


def url(slug: str, rest: str = "") -> str:
    name = "part" if rest else "page"
    args = [slug, rest] if rest else [slug]
    return reverse(f"admin:qcore_dashboard_{name}", args=args)


def data(client, slug: str, rest: str = "", **query: str) -> dict:
    answer = client.get(url(slug, rest), {"format": "json", **query})
    assert answer.status_code == 200, answer.content
    document = answer.json()
    Draft202012Validator(SCHEMA).validate(document)
    return document["data"]


def addresses(world) -> list[str]:
    parts = [world.succeeded, world.failed, world.dead, world.running]
    parts += [world.scheduled, world.parked, new_id()]
    return [*map(url, PAGES), *(url("task", part) for part in parts)]


# -- who may see it ------------------------------------------------------------------
def test_the_pages_are_those_that_are_tested():
    assert {page.slug for page in OWN} == {*PAGES, "task"}
    for page in OWN:
        assert page.permission.rpartition(".")[2] == ALSO.get(page.slug, "")


@pytest.mark.parametrize("form", ["", "json", "fragment"])
@pytest.mark.parametrize("slug", [*PAGES, "task"])
def test_a_page_takes_its_permissions(client, staff, slug, form):
    address = url(slug, new_id() if slug == "task" else "")
    query = {"format": "json"} if form == "json" else {form: "1"} if form else {}
    assert client.get(address, query).status_code == 302  # to log in
    assert staff().get(address, query).status_code == 403
    also = [ALSO[slug]] if slug in ALSO else []
    if also:
        assert staff(*also).get(address, query).status_code == 403
        assert staff("view_dashboard").get(address, query).status_code == 403
    assert staff("view_dashboard", *also).get(address, query).status_code == 200


def test_the_first_page_is_the_first_that_one_may_see(client, staff):
    first = reverse("admin:qcore_dashboard_dashboard_changelist")
    assert client.get(first).status_code == 302
    assert staff().get(first).status_code == 403
    assert staff("view_dashboard").get(first).url == url("overview")


def test_the_navigation_has_what_one_may_see(staff):
    text = staff("view_dashboard").get(url("overview")).text
    shown = re.findall(
        r'href="[^"]*/dashboard/([a-z]+)/"(?: aria-current="page")?>', text
    )
    assert set(shown) >= {"overview", "queues", "clusters"}
    assert f'href="{url("schedules")}">Schedules' not in text
    assert f'href="{url("system")}">System' not in text


def test_the_index_of_the_admin_leads_to_it(admin_client, staff):
    first = reverse("admin:qcore_dashboard_dashboard_changelist")
    assert first in admin_client.get(reverse("admin:index")).text
    client = staff("view_task")
    assert first not in client.get(reverse("admin:index")).text


@pytest.mark.parametrize(
    "address",
    [
        "no-such-page/",
        "task/xyz/",
        f"task/{'0' * 32}/more/",
        "overview/do/x/",
        *(f"{slug}/no/such/thing/" for slug in PAGES),
    ],
)
def test_what_is_not_there_is_not_found(admin_client, address):
    first = reverse("admin:qcore_dashboard_dashboard_changelist")
    assert admin_client.get(f"{first}{address}").status_code == 404


def test_a_page_is_not_posted_to(admin_client):
    assert admin_client.post(url("overview")).status_code == 405


# -- what it never shows -------------------------------------------------------------
@pytest.mark.parametrize("form", ["", "fragment=1", "format=json"])
def test_markup_is_escaped_and_secrets_are_masked(admin_client, world, form):
    for address in addresses(world):
        answer = admin_client.get(f"{address}?{form}")
        assert answer.status_code == 200, address
        assert SECRET not in answer.text, address
        if form != "format=json":
            assert EVIL not in answer.text, address
    assert "onerror" in admin_client.get(url("tasks")).text  # it is there, as text


def test_arguments_take_their_permission(staff, world):
    client = staff("view_dashboard", "view_task")
    assert "pl41n" not in client.get(url("task", world.succeeded)).text
    assert data(client, "task", world.succeeded)["kwargs"] is None
    client = staff("view_dashboard", "view_task", "view_args")
    assert "pl41n" in client.get(url("task", world.succeeded)).text
    assert "pl41n" in data(client, "task", world.succeeded)["kwargs"]


class Inline(HTMLParser):
    """Finds what a Content-Security-Policy without 'unsafe-inline' refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        names = dict(attrs)
        if tag == "style" or (tag == "script" and "src" not in names):
            self.found.append(tag)
        self.found += [
            f"{tag} {name}" for name in names if name == "style" or name[:2] == "on"
        ]


def test_no_page_has_inline_script_or_style(admin_client, world):
    for address in addresses(world):
        parser = Inline()
        parser.feed(admin_client.get(address).text)
        assert parser.found == [], address


# -- what it shows -------------------------------------------------------------------
@pytest.mark.parametrize("slug", PAGES)
def test_an_empty_project_has_its_pages(admin_client, slug):
    text = admin_client.get(url(slug)).text
    assert 'role="alert"' not in text
    data(admin_client, slug)


def test_four_answers(admin_client, world):
    found = data(admin_client, "overview")
    states = [one["state"] for one in found["answers"]]
    assert states == ["error", "ok", "warning", "warning"]  # a problem, and a pause
    assert found["totals"]["busy"], found["totals"]["workers"] == (1, 2)
    assert found["totals"]["failed"] == 15
    assert len(found["charts"]) == 4
    text = admin_client.get(url("overview")).text
    assert text.count('role="img"') == 4
    assert "Paused: other." in text


def test_an_overview_without_clusters_says_so(admin_client):
    first, second, third, _ = data(admin_client, "overview")["answers"]
    assert (first["state"], second["state"]) == ("error", "ok")
    assert "qcore cluster" in first["text"]
    assert third["state"] == "ok"  # the store counts: nothing has ended


def test_queues(admin_client, world):
    current.broker().enqueue(b"one")
    rows = {one["name"]: one for one in data(admin_client, "queues")["queues"]}
    assert set(rows) == {"tests", "other"}
    own = rows["tests"]
    assert (own["waiting"], own["running"], own["workers"]) == (1, 1, 2)
    assert own["scheduled"] == 2
    assert own["out_per_minute"] == (1 + 1 + 3 + 1 + 5 + 1) / 5
    assert own["drain_seconds"] == pytest.approx(60 / own["out_per_minute"])
    assert rows["other"]["paused"]["reason"].endswith("***@h")
    assert rows["other"]["out_per_minute"] is None


def test_clusters(admin_client, world):
    (cluster,) = data(admin_client, "clusters")["clusters"]
    first, second = cluster["workers"]
    assert (first["task_id"], first["seconds"]) == (world.running, 12.5)
    assert first["progress"]["share"] == 0.25
    assert (second["task_id"], cluster["rss"]) == (None, 100_000)
    text = admin_client.get(url("clusters")).text
    assert "12.5 s" in text
    assert "97.7 MiB" in text


def test_schedules(admin_client, world):
    rows = {one["id"]: one for one in data(admin_client, "schedules")["schedules"]}
    row = rows[world.schedule]
    assert (len(row["next_runs"]), len(row["last_runs"])) == (5, 10)
    assert row["last_runs"][0] == {
        "at": row["last_runs"][0]["at"],
        "task_id": world.succeeded,
        "outcome": "success",
        "is_good": True,
    }
    assert row["last_runs"][1]["is_good"] is None
    assert row["when"] == "Every fifth minute of every hour"
    assert rows[world.declared]["is_declared"]


@pytest.mark.parametrize("number", ["0", "-1", "9999", "x", "", "1e9", "²"])
def test_a_page_number_out_of_range_is_the_nearest_page(admin_client, world, number):
    found = data(admin_client, "schedules", p=number)
    assert (found["page_number"], len(found["schedules"])) == (1, 2)


def test_the_system_page_asks_the_doctor_when_told_to(admin_client):
    assert data(admin_client, "system")["doctor"] is None
    found = data(admin_client, "system", doctor="1")
    assert found["doctor"]["schema"] == "qcore.doctor/1"
    settings = {one["name"]: one for one in found["settings"]}
    assert settings["name"]["source"] == "Q_CLUSTER"
    assert settings["workers"]["source"] == "default"
    names = [one["name"] for one in found["plugins"]]
    assert {"dashboard", "builtin"} <= set(names)


def test_dead_tasks_are_grouped(admin_client, world, make):
    (group,) = data(admin_client, "dead")["groups"]
    assert (group["count"], group["example"]) == (1, world.dead)
    assert group["error"].startswith("ValueError: ")


# -- one task ------------------------------------------------------------------------
def test_a_task_and_its_timeline(admin_client, world):
    found = data(admin_client, "task", world.dead)
    assert (found["state"], found["attempts"]) == ("dead", 1)
    texts = [one["text"] for one in found["timeline"]]
    assert texts == ["sent", "began", "ended: failure", "dead: it is not tried again"]
    assert found["why"] == []
    assert found["error"].startswith("ValueError: ")
    assert data(admin_client, "task", world.running)["state"] == "running"


@pytest.mark.parametrize(
    ("which", "state", "why"),
    [
        ("scheduled", "scheduled", "It is sent in 59 min"),
        (
            "parked",
            "parked",
            "It is parked: it waits in the outbox until a plugin wakes it",
        ),
        ("failed", "failed", "lease of that attempt ends"),
    ],
)
def test_why_a_task_waits(admin_client, world, which, state, why):
    found = data(admin_client, "task", getattr(world, which))
    assert found["state"] == state
    assert found["func"].endswith(EVIL_END)
    assert found["queue"] == "tests"
    assert why in " ".join(found["why"])


@pytest.mark.parametrize(("due", "until"), [(None, None), (3600, "59 min")])
def test_a_suspended_task_is_called_so_everywhere(admin_client, later, due, until):
    """By its own page, by the list, and by what both offer to search for."""
    at = None if due is None else time.time() + due
    task_id = later(at, name="nap", func="shop.tasks.nap")
    OutboxRow.objects.filter(task_id=task_id).update(held_by="flows:suspended")
    found = data(admin_client, "task", task_id)
    assert found["state"] == status(task_id) == "suspended"
    assert "suspended" in found["timeline"][-1]["text"]
    why = " ".join(found["why"])
    assert "It is suspended" in why
    assert until is None or f"It goes on in {until}" in why
    (row,) = data(admin_client, "tasks", q="state:suspended")["tasks"]
    assert (row["id"], row["state"]) == (task_id, "suspended")


def test_a_paused_queue_and_an_absent_cluster_are_reasons(admin_client):
    task_id = new_id()
    Tracked.objects.create(
        task_id=task_id,
        func="math.sqrt",
        queue="tests",
        content="json",
        payload="[[4],{}]",
        enqueued=time.time(),
        state="waiting",
    )
    current.broker().enqueue(b"one")
    pause("tests", by="bob", reason="a deploy")
    found = data(admin_client, "task", task_id)
    assert found["state"] == "waiting"
    assert re.search(r"paused by bob .* ago \(a deploy\)", found["why"][0])
    assert "No cluster works on the queue tests" in found["why"][1]
    assert "1 task waits there" in found["why"][2]
    assert [one["id"] for one in data(admin_client, "tasks")["tasks"]] == [task_id]


def test_a_task_that_was_pruned_meanwhile_is_told(admin_client, world):
    Task.objects.all().delete()
    answer = admin_client.get(url("task", world.succeeded))
    assert answer.status_code == 200
    assert "Nothing is known of this task" in answer.text
    assert data(admin_client, "task", world.succeeded)["state"] is None


# -- what cannot be known ------------------------------------------------------------
def test_what_is_not_known_is_unknown_and_no_zero(admin_client, monkeypatch):
    def away(self):
        raise BrokerUnavailable("redis://u:canary@h is away")

    monkeypatch.setattr(MemoryBroker, "queue_size", away)
    found = data(admin_client, "queues")
    assert found["queues"][0]["waiting"] is None
    assert found["problems"] == ["Redis://u:***@h is away"]
    text = admin_client.get(url("queues")).text
    assert '<span class="qd-unknown">unknown</span>' in text
    found = data(admin_client, "overview")
    assert found["totals"]["waiting"] is None
    assert found["answers"][1]["state"] == "unknown"


@pytest.mark.parametrize("slug", ["tasks", "dead", "schedules"])
def test_a_database_that_is_away_is_told(admin_client, monkeypatch, slug):
    def away(*args, **kwargs):
        raise OperationalError("could not connect: postgres://u:canary@h")

    monkeypatch.setattr("qcore.listing.finished.find", away)
    for module in ("pages.dead", "pages.schedules"):
        name = "_page" if "schedules" in module else "_groups"
        monkeypatch.setattr(f"qcore_dashboard.{module}.{name}", away)
    answer = admin_client.get(url(slug), {"format": "json"})
    assert answer.status_code in {200, 503}
    assert "The database says: could not connect" in answer.text
    assert SECRET not in answer.text
    page = admin_client.get(url(slug))
    assert 'role="alert"' in page.text
    assert page.status_code == answer.status_code


def test_the_charts_table_may_be_missing(admin_client, world, monkeypatch):
    def missing(*args, **kwargs):
        raise OperationalError("no such table: qcore_dashboard_minute")

    monkeypatch.setattr("qcore_dashboard.charts.minutes", missing)
    found = data(admin_client, "queues")
    assert found["queues"][0]["out_per_minute"] is None
    assert "no such table" in found["problems"][0]


# -- its price -----------------------------------------------------------------------
def queries(client, address: str) -> int:
    with CaptureQueriesContext(connection) as seen:
        assert client.get(address).status_code == 200
    return len(seen)


def test_a_page_takes_twelve_queries_at_most(staff, world):
    codes = ("view_dashboard", "view_task", "view_schedule", "view_system", "view_args")
    client = staff(*codes)
    for address in addresses(world):
        client.get(address)  # what is there is looked up once in a process
    counts = {address: queries(client, address) for address in addresses(world)}
    assert max(counts.values()) <= 12, counts


def test_more_rows_take_no_more_queries(staff, world, make):
    from qcore.models import Schedule
    from qcore.results.orm import OrmStore

    client = staff("view_dashboard", "view_task", "view_schedule")
    slugs = ("tasks", "dead", "schedules")
    for slug in slugs:
        client.get(url(slug))
    before = [queries(client, url(slug)) for slug in slugs]
    store = OrmStore(current.conf)
    store.save([make(outcome="failure", error="E: x") for _ in range(30)])
    store.save([make() for _ in range(30)])
    for number in range(20):
        Schedule.objects.create(name=f"s{number}", func="math.sqrt", schedule_type="D")
    assert [queries(client, url(slug)) for slug in slugs] == before


# -- how it is sent ------------------------------------------------------------------
def test_json_by_the_address_or_by_what_the_client_accepts(admin_client):
    accepts = {"accept": "application/json"}
    assert admin_client.get(url("queues"), headers=accepts).json()["page"] == "queues"
    browser = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    answer = admin_client.get(url("queues"), headers=browser)
    assert answer["Content-Type"].startswith("text/html")


def test_a_fragment_that_has_not_changed_is_not_sent_again(admin_client, world):
    address = f"{url('dead')}?fragment=1"
    first = admin_client.get(address)
    assert "<html" not in first.text
    again = admin_client.get(address, headers={"if-none-match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    Task.objects.all().delete()
    changed = admin_client.get(address, headers={"if-none-match": first["ETag"]})
    assert changed.status_code == 200


def test_a_site_of_ones_own(admin_user, client, world):
    """Its pages lead to one another, and not to those of another site."""
    from django.contrib.admin import AdminSite
    from django.urls import clear_url_caches, path, set_urlconf

    from qcore_dashboard.admin import DashboardAdmin
    from qcore_dashboard.models import Dashboard

    site = AdminSite("backstage")
    site.register(Dashboard, DashboardAdmin)

    class Urls:
        urlpatterns = (path("backstage/", site.urls),)

    with override_settings(ROOT_URLCONF=Urls):
        clear_url_caches()
        client.force_login(admin_user)
        text = client.get("/backstage/qcore_dashboard/dashboard/overview/").text
        assert "/backstage/qcore_dashboard/dashboard/queues/" in text
        assert 'href="/admin/' not in text
    set_urlconf(None)
    clear_url_caches()


def test_a_minute_has_a_name():
    assert str(Minute(minute=3, queue="q")) == "q in minute 3"
