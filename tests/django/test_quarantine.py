"""Packages that cannot be trusted are kept for a person, and never decoded."""

from __future__ import annotations

import pytest
from django.db import DataError, connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from qcore.doctor import clusters
from qcore.models import Quarantine
from qcore.models.quarantine import DROPPED
from qcore.results import quarantine as table
from qcore.runtime import current

pytestmark = pytest.mark.django_db


@pytest.fixture
def bad() -> Quarantine:
    package = b"\x00garbage <img onerror=alert(1)>\xff" * 10
    current.store().quarantine("mail", package, "BadPackage", "not a package")
    return Quarantine.objects.get()


def test_what_is_known_of_a_package_is_kept(bad):
    assert (bad.queue, bad.reason, bad.detail) == (
        "mail",
        "BadPackage",
        "not a package",
    )
    assert bad.size == len(bad.package) == 320
    assert bad.first_bytes().startswith(r"b'\x00garbage")


def test_a_huge_package_is_cut_and_its_size_is_told():
    current.store().quarantine("mail", b"x" * 3_000_000, "BadPackage", "too long")
    kept = Quarantine.objects.get()
    assert (kept.size, len(kept.package)) == (3_000_000, 2 * 1024 * 1024)


@pytest.fixture
def little(monkeypatch):
    """Let little fit into quarantine, and have it looked at for each package."""
    monkeypatch.setattr(table, "MOST", 5)
    monkeypatch.setattr(table, "MOST_BYTES", 1000)
    monkeypatch.setattr(table, "_EVERY", 1)


def kept():
    rows = Quarantine.objects.exclude(reason=DROPPED).order_by("pk")
    return [bytes(row.package) for row in rows]


@pytest.mark.fault("G23")
@pytest.mark.usefixtures("little")
def test_the_newest_packages_are_kept_and_the_others_counted():
    store = current.store()
    for number in range(12):
        store.quarantine("mail", b"%d" % number, "BadSignature", "forged")
    assert kept() == [b"7", b"8", b"9", b"10", b"11"]
    assert Quarantine.dropped() == 7
    told = Quarantine.objects.get(reason=DROPPED)
    assert told.detail.startswith("7 older packages were dropped")
    assert told.size == 7
    (finding,) = clusters._quarantine()
    assert "5 packages are in quarantine" in finding.fact
    assert "7 older ones were dropped" in finding.fact


@pytest.mark.fault("G23")
@pytest.mark.usefixtures("little")
def test_their_bytes_are_bounded_too():
    store = current.store()
    for letter in "abcd":
        store.quarantine("mail", letter.encode() * 400, "BadSignature", "forged")
    assert [package[:1] for package in kept()] == [b"c", b"d"]
    store.quarantine("mail", b"e" * 5000, "BadSignature", "forged")
    assert [package[:1] for package in kept()] == [b"e"], "the newest is always kept"
    assert Quarantine.dropped() == 4


@pytest.mark.fault("G23")
def test_five_thousand_forgeries_fill_no_disk():
    """Looking at the bounds costs little: once for many packages."""
    store = current.store()
    with CaptureQueriesContext(connection) as queries:
        for _ in range(1200):
            store.quarantine("mail", b"x" * 100, "BadSignature", "forged")
    inserts = sum(q["sql"].startswith("INSERT") for q in queries)
    others = sum(q["sql"].startswith(("SELECT", "DELETE", "UPDATE")) for q in queries)
    assert inserts >= 1200
    assert others < 80
    assert 1000 <= len(kept()) <= 1050


def test_what_the_database_refuses_is_kept_without_the_cause(transactional_db):
    def latin(execute, sql, params, many, context):
        if sql.startswith("INSERT") and any("\u2603" in str(p) for p in params):
            raise DataError("no such character in LATIN1")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(latin):
        current.store().quarantine("mail", b"x" * 900, "BadPackage", "it says \u2603")
    row = Quarantine.objects.get()
    assert (row.detail, row.size, len(row.package)) == ("it says \\u2603", 900, 64)


@pytest.mark.fault("G23")
@pytest.mark.usefixtures("little")
def test_a_package_is_kept_once_though_the_others_cannot_go(transactional_db, caplog):
    """Else its delivery would be left, come again, and be kept again, for ever."""

    def no_delete(execute, sql, params, many, context):
        if sql.startswith("DELETE"):
            raise DataError("a trigger refuses that")
        return execute(sql, params, many, context)

    store = current.store()
    with connection.execute_wrapper(no_delete):
        for number in range(8):
            store.quarantine("mail", b"%d" % number, "BadSignature", "forged")
    assert kept() == [b"%d" % number for number in range(8)]
    assert "not kept within its bounds" in caplog.text
    store.quarantine("mail", b"8", "BadSignature", "forged")
    assert len(kept()) == 5


def test_the_page_shows_the_bytes_escaped(bad, admin_client):
    listed = admin_client.get(reverse("admin:qcore_quarantine_changelist"))
    shown = admin_client.get(reverse("admin:qcore_quarantine_change", args=[bad.pk]))
    for page in (listed, shown):
        assert page.status_code == 200
        assert b"&lt;img onerror" in page.content
        assert b"<img onerror" not in page.content


def test_nothing_can_be_added_or_changed(bad, admin_client):
    assert admin_client.get(reverse("admin:qcore_quarantine_add")).status_code == 403
    url = reverse("admin:qcore_quarantine_change", args=[bad.pk])
    assert admin_client.post(url, {"detail": "nothing to see"}).status_code == 403


def test_a_package_can_be_deleted(bad, admin_client):
    url = reverse("admin:qcore_quarantine_delete", args=[bad.pk])
    assert admin_client.post(url, {"post": "yes"}).status_code == 302
    assert not Quarantine.objects.exists()
