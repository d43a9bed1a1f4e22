"""What the doctor says of the outbox."""

from __future__ import annotations

import pytest
from django.db.models import F

from qcore.doctor import ledger as doctor_ledger
from qcore.models import OutboxRow
from qcore.runtime import current
from qcore.tasks import async_task


@pytest.fixture
def ledger(outside, monkeypatch):
    """What it says, as pairs of level and words."""
    monkeypatch.setattr(doctor_ledger, "required", lambda: {"default": {"qcore"}})
    return lambda: [
        (one.level, f"{one.fact} {one.advice}".strip())
        for one in doctor_ledger.ledger()
    ]


def test_empty(ledger):
    assert ledger() == [("ok", "the outbox is empty")]


def test_what_waits_for_its_time(ledger):
    for _ in range(3):
        async_task("chores.kind.add", 1, delay=100_000)
    ((level, words),) = ledger()
    assert level == "ok"
    assert words.startswith("the outbox has 3 tasks for the queue 'tests', the first")
    assert words.endswith(" in 1 d 3 h")


def test_what_nobody_sends(ledger):
    async_task("chores.kind.add", 1, delay=86_400, cluster="mail")
    OutboxRow.objects.update(due=F("due") - 86_400 - 90)
    ((level, words),) = ledger()
    assert level == "error"
    assert "should have been sent 1 min 30 s ago" in words
    assert words.endswith("qcore cluster --name mail")


def test_what_the_broker_refuses(ledger):
    async_task("chores.kind.add", 1, delay=86_400)
    OutboxRow.objects.update(tries=5)
    ((level, words),) = ledger()
    assert level == "error"
    assert "refused 1 of them again and again The log of qcore.relay" in words


def test_rows_under_old_keys(ledger, settings):
    """They outlive a rotation; without the old key they would never run."""
    old = settings.SECRET_KEY
    async_task("chores.kind.add", 1, delay=86_400)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "a newer one", [old]
    async_task("chores.kind.add", 1, delay=86_400)
    _, (level, words) = ledger()
    assert level == "warning"
    assert "1 are signed with a key of SECRET_KEY_FALLBACKS Keep that key" in words
    settings.SECRET_KEY_FALLBACKS = []
    _, (level, words) = ledger()
    assert level == "error"
    assert "1 are signed with a key that is not in use Add the key" in words


def test_which_key_has_signed(ledger):
    package = current.signer.sign(_task())
    assert current.signer.key_of(package) == 0
    assert current.signer.key_of(package[:-1] + b"?") is None


def _task():
    from qcore.tasks.calls import build

    return build("chores.kind.add", [1])
