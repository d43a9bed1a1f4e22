"""The search, and the list that it searches, page by page."""

from __future__ import annotations

import time

import msgspec
import pytest
from django.test import override_settings
from django.urls import reverse

from qcore.listing import finished, outbox, places, query
from qcore.listing.rows import Row
from qcore.models import Task
from qcore.pages import BadQuery
from qcore.results.orm import OrmStore
from qcore.runtime import current

MEMORY = {"name": "tests", "broker_class": "qcore.brokers.memory.MemoryBroker"}


@pytest.fixture(autouse=True)
def settings_of_the_project():
    with override_settings(Q_CLUSTER=MEMORY):
        yield


# -- its words -----------------------------------------------------------------------
def test_words_are_read():
    found = query.read("func:shop.* state:dead,failed queue:slow word")
    assert found.func == query.Pattern("shop.*")
    assert found.states == {"dead", "failed"}
    assert found.queue == query.Pattern("slow")
    assert found.words == ("word",)
    assert query.read("") == query.Query()


@pytest.mark.parametrize(
    ("text", "seconds"), [("1h", 3600), ("30s", 30), ("2d", 172800)]
)
def test_times_are_spans_back_from_now(text, seconds):
    since = query.read(f"since:{text}").since
    assert since is not None
    assert abs(time.time() - since - seconds) < 600


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("fnc:x", "'fnc' is not a search key; did you mean 'func'?"),
        ("state:ded", "state:ded is not a state of a task; did you mean 'dead'?"),
        ("since:yesterday", "since:yesterday is not a time. Expected a number"),
        ("since:99999999d", "is not a time"),
        ("func:", "func: stands without a value"),
        ("func:a func:b", "func: stands twice"),
        ("func:*a*", "has several '*'"),
        ("a\0b", "NUL"),
        ("x" * 501, "the limits are 500 and 20"),
        (" ".join(["x"] * 21), "the limits are 500 and 20"),
    ],
)
def test_what_cannot_be_read_is_told(text, told):
    with pytest.raises(BadQuery) as error:
        query.read(text)
    assert told in str(error.value).replace(" - did", "; did")


@pytest.mark.parametrize(
    ("pattern", "value", "fits"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.bc", False),
        ("a.*", "a.bc", True),
        ("*.c", "a.b.c", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("*", "", True),
        ("a", None, False),
    ],
)
def test_one_star_stands_for_anything(pattern, value, fits):
    assert query.Pattern(pattern).fits(value) is fits


def test_words_are_looked_for_in_the_texts_of_a_task():
    row = Row(id="1", state="dead", func="shop.pay", error="KeyError: 'Bob'")
    assert query.read("bob").fits(row)
    assert not query.read("alice").fits(row)


@pytest.mark.django_db
@pytest.mark.parametrize("form", ["", "&format=json", "&fragment=1"])
@pytest.mark.parametrize(
    "text", ["q=x:y", "after=nonsense", "after=finished:x", "after=outbox:-1", "q=%00"]
)
def test_a_page_that_cannot_be_read_says_so(admin_client, text, form):
    address = reverse("admin:qcore_dashboard_page", args=["tasks"])
    answer = admin_client.get(f"{address}?{text}{form}")
    assert answer.status_code == 400
    assert "cannot be read" in answer.text or "NUL" in answer.text


# -- the list ------------------------------------------------------------------------
def walk(text: str) -> list[str]:
    """Return the ids on all pages of a search."""
    asked, after = query.read(text), ""
    found: list[str] = []
    for _ in range(100):
        rows, after = places.find(asked, after)
        assert len(rows) <= places.SIZE or not found
        found += [row.id for row in rows]
        if not after:
            return found
    raise AssertionError("the list has no end")


@pytest.fixture
def stored(db, make, later, monkeypatch):
    """Store results and tasks for later; of each result, its function."""
    monkeypatch.setattr(places, "SIZE", 7)
    monkeypatch.setattr(finished, "CHUNK", 10)
    monkeypatch.setattr(outbox, "LOOKED_AT", 5)
    results = [
        msgspec.structs.replace(
            make(
                outcome="failure" if n % 3 == 0 else "success",
                error="E: x",
                func=f"shop.f{n % 5}",
            ),
            final=bool(n % 2),
        )
        for n in range(60)
    ]
    OrmStore(current.conf).save(results)
    due = [later(time.time() + 60 + n, func=f"shop.f{n % 5}") for n in range(12)]
    return [result.task.id for result in results], due


def test_every_task_is_on_one_page_and_the_newest_come_first(stored):
    ended, due = stored
    assert walk("") == [*due, *reversed(ended)]


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("state:succeeded", lambda n: n % 3 != 0),
        ("state:dead", lambda n: n % 3 == 0 and n % 2),
        ("state:failed", lambda n: n % 3 == 0 and not n % 2),
        ("state:dead,failed func:shop.f0", lambda n: n % 15 == 0),
        ("state:succeeded,dead,failed func:*f1", lambda n: n % 5 == 1),
        ("state:cancelled", lambda n: False),
    ],
)
def test_a_search_finds_what_fits_on_all_pages(stored, text, fits):
    ended, _ = stored
    wanted = [id for n, id in enumerate(ended) if fits(n)]
    assert walk(text) == wanted[::-1]


def test_what_is_sent_later_is_found_by_its_function(stored):
    _, due = stored
    assert walk("state:scheduled func:shop.f2") == [due[2], due[7]]


def test_results_of_one_moment_are_told_apart(stored):
    """A page may end between two tasks that have ended in the same microsecond."""
    Task.objects.update(stopped=Task.objects.first().stopped)
    found = walk("state:succeeded,dead,failed")
    assert len(found) == len(set(found)) == 60


def test_results_that_come_meanwhile_move_nothing(stored, make):
    asked = query.read("state:succeeded")
    first, after = places.find(asked, "")
    OrmStore(current.conf).save([make()])
    second, _ = places.find(asked, after)
    assert not {row.id for row in first} & {row.id for row in second}
