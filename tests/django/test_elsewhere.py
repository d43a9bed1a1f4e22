"""Where a stranger keeps results and schedules, nothing answers from the empty tables."""

from __future__ import annotations

import io
import json
from argparse import Namespace

import pytest
from chores import strangers
from django.contrib.messages import get_messages
from django.db import connection
from django.urls import reverse
from support.json_schemas import validate

from qcore.cli import info, quarantine
from qcore.doctor.clusters import clusters as examine_clusters
from qcore.envelope import Outcome
from qcore.errors import ConfigError, StoreRefused
from qcore.models import Quarantine, Schedule
from qcore.results.memory import MemoryStore
from qcore.runtime import current

pytestmark = pytest.mark.django_db

PAGES = {
    "success": "a result store",
    "failure": "a result store",
    "quarantine": "a result store",
    "schedule": "a scheduler",
}
QUEUE = {"broker_class": "qcore.brokers.memory.MemoryBroker", "commit": "now"}


def select(settings, store="Store", clock="Clock"):
    settings.Q_CLUSTER = QUEUE | {
        "result_store": f"chores.strangers.{store}",
        "scheduler_class": f"chores.strangers.{clock}",
        "cache_backend": "chores.strangers.Cache",
    }


@pytest.fixture
def elsewhere(settings):
    """A project whose results and schedules are in the memory of this process."""
    select(settings)
    empty()  # a test before this one may have left its results
    yield
    empty()


def empty():
    """Clear what the parts of a stranger keep for the whole process."""
    strangers.Cache.kept.clear()
    strangers.Clock.kept.clear()
    MemoryStore.clear()


@pytest.fixture
def no_tables(elsewhere):
    """The same, where nobody has made the tables of qcore."""
    if not connection.features.can_rollback_ddl:
        pytest.skip("this database does not roll DROP TABLE back")
    with connection.cursor() as cursor:
        for table in ("task", "schedule", "quarantine"):
            cursor.execute(f"DROP TABLE qcore_{table}")


def told(**more):
    out = io.StringIO()
    options = {"json": True, "config": False, "ids": False}
    info.run(Namespace(**options | more), out)
    return out.getvalue()


@pytest.mark.usefixtures("no_tables")
def test_info_asks_the_store_that_is_selected(make):
    current.store().save([make(1), make(2), make(outcome=Outcome.FAILURE)])
    document = json.loads(told())
    validate(document)
    stored = document["stored"]
    assert (stored["succeeded"], stored["failed"]) == (2, 1)
    assert (stored["schedules"], stored["quarantined"]) == (None, None)
    text = told(json=False)
    assert "2 succeeded, 1 failed, quarantined packages are not counted" in text
    assert "the scheduler cannot count its schedules" in text


@pytest.mark.usefixtures("no_tables")
def test_info_says_that_a_store_cannot_count(settings, make):
    select(settings, store="Silent")
    current.store().save([make(1)])
    document = json.loads(told())
    validate(document)
    assert document["stored"]["succeeded"] is None
    assert document["stored"]["last_24_hours"]["tasks"] is None
    text = told(json=False)
    assert text.count("the result store cannot count its results") == 2
    assert "0 succeeded" not in text


def test_info_of_cached_results(settings, make):
    """The store in the cache is one of ours that cannot count."""
    settings.Q_CLUSTER = QUEUE | {"result_store": "cache"}
    with pytest.raises(StoreRefused, match="cannot count its results"):
        current.store().count()
    stored = json.loads(told())["stored"]
    assert (stored["succeeded"], stored["schedules"]) == (None, 0)


def test_info_of_the_tables(settings, make):
    settings.Q_CLUSTER = QUEUE
    store = current.store()
    store.save([make(1), make(outcome=Outcome.FAILURE)])
    store.quarantine("q", b"garbled", "BadPackage", "of a test")
    Schedule.objects.create(func="math.sqrt", args="[4]")
    stored = json.loads(told())["stored"]
    del stored["last_24_hours"]
    assert stored == dict.fromkeys(stored, 1)
    assert len(stored) == 4


@pytest.mark.usefixtures("no_tables")
def test_the_doctor_says_who_keeps_them():
    facts = [found.fact for found in examine_clusters()]
    (kept,) = [fact for fact in facts if fact.startswith("results and quarantined")]
    assert "chores.strangers.Store" in kept
    assert "does not say" in kept
    (kept,) = [fact for fact in facts if fact.startswith("schedules are kept by")]
    assert "chores.strangers.Clock" in kept
    assert not [fact for fact in facts if "no package" in fact or "no schedule" in fact]


def test_the_doctor_counts_quarantine_there(elsewhere, monkeypatch):
    for number, words in ((0, "no package is in quarantine"), (3, "3 packages are")):
        monkeypatch.setattr(strangers.Store, "quarantined", lambda self, n=number: n)
        facts = [found.fact for found in examine_clusters()]
        (fact,) = [one for one in facts if words in one]
        assert "chores.strangers.Store" in fact


@pytest.mark.usefixtures("elsewhere")
def test_the_quarantine_verb_says_that_these_are_from_before(capsys):
    listed = Namespace(action="list", ids=[], all=False, limit=50, json=False)
    quarantine.run(listed, io.StringIO())
    error = capsys.readouterr().err
    assert "kept by the result store chores.strangers.Store" in error
    assert "from before" in error


@pytest.mark.usefixtures("no_tables")
def test_the_quarantine_verb_needs_its_table():
    listed = Namespace(action="list", ids=[], all=False, limit=50, json=False)
    with pytest.raises(ConfigError, match=r"chores\.strangers\.Store"):
        quarantine.run(listed, io.StringIO())


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.usefixtures("elsewhere")
def test_a_list_says_who_keeps_the_rows(admin_client, page):
    seen = admin_client.get(reverse(f"admin:qcore_{page}_changelist"))
    assert seen.status_code == 200
    (message,) = get_messages(seen.wsgi_request)
    key = "scheduler_class" if page == "schedule" else "result_store"
    assert f"Q_CLUSTER['{key}'] selects" in str(message)
    assert "from before" in str(message)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.usefixtures("no_tables")
def test_no_page_is_an_error_page(admin_client, page):
    """Every page sends to the index, which says who keeps the rows."""
    start = reverse("admin:index")
    seen = admin_client.get(reverse(f"admin:qcore_{page}_changelist"), follow=True)
    assert seen.redirect_chain == [(start, 302)]
    (message,) = get_messages(seen.wsgi_request)
    assert "not in the tables of qcore" in str(message)
    for view in ("change", "delete", "history"):
        address = reverse(f"admin:qcore_{page}_{view}", args=["1"])
        assert admin_client.get(address, follow=True).status_code == 200
    address = reverse(f"admin:qcore_{page}_changelist")
    assert admin_client.post(address, {"action": "delete_selected"}).status_code == 302


@pytest.mark.usefixtures("elsewhere")
def test_no_schedule_is_added_that_nobody_would_fire(admin_client):
    assert admin_client.get(reverse("admin:qcore_schedule_add")).status_code == 403
    assert admin_client.get(reverse("admin:index")).status_code == 200


def test_who_may_not_look_is_told_nothing(elsewhere, client, django_user_model):
    user = django_user_model.objects.create_user("clerk", password="x", is_staff=True)
    client.force_login(user)
    for page in PAGES:
        address = reverse(f"admin:qcore_{page}_changelist")
        assert client.get(address).status_code == 403


def test_the_last_runs_of_schedules_are_asked_of_the_store(
    settings, admin_client, make
):
    settings.Q_CLUSTER = QUEUE | {"result_store": "chores.strangers.Store"}
    good, bad = make(1), make(outcome=Outcome.FAILURE)
    current.store().save([good, bad])
    for number, task in enumerate([good.task.id, bad.task.id, "f" * 32, None]):
        Schedule.objects.create(
            func="math.sqrt", args="[4]", name=f"s{number}", task=task
        )
    seen = admin_client.get(reverse("admin:qcore_schedule_changelist") + "?o=2")
    assert seen.status_code == 200
    rows = {row.name: row for row in seen.context["cl"].result_list}
    found = [getattr(rows[f"s{n}"], "last_success", None) for n in range(4)]
    assert found == [True, False, None, None]
    first = Schedule.objects.get(name="s0")
    assert first.last_run().result == 1
    assert first.success() is True
    assert Schedule.objects.get(name="s3").success() is None


def test_a_store_that_is_away_is_no_error_page(settings, admin_client, monkeypatch):
    settings.Q_CLUSTER = QUEUE | {"result_store": "chores.strangers.Store"}
    Schedule.objects.create(func="math.sqrt", args="[4]", task="f" * 32)

    def fetch(self, key):
        raise StoreRefused("not now")

    monkeypatch.setattr(strangers.Store, "fetch", fetch)
    seen = admin_client.get(reverse("admin:qcore_schedule_changelist"))
    assert seen.status_code == 200


def test_what_cannot_be_had_is_no_error_page(settings, admin_client):
    settings.Q_CLUSTER = QUEUE | {"result_store": "nowhere.Store"}
    for page in ("success", "failure", "quarantine"):
        seen = admin_client.get(reverse(f"admin:qcore_{page}_changelist"))
        assert seen.status_code == 200
        (message,) = get_messages(seen.wsgi_request)
        assert "cannot be imported" in str(message)


def test_the_tables_of_the_default_say_nothing(settings, admin_client):
    settings.Q_CLUSTER = QUEUE
    Quarantine.objects.create(queue="q", reason="BadPackage", detail="", size=1)
    for page in PAGES:
        seen = admin_client.get(reverse(f"admin:qcore_{page}_changelist"))
        assert seen.status_code == 200
        assert list(get_messages(seen.wsgi_request)) == []
