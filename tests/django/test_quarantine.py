"""Packages that cannot be trusted are kept for a person, and never decoded."""

from __future__ import annotations

import pytest
from django.urls import reverse

from qcore.current import current
from qcore.models import Quarantine

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
