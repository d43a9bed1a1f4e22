"""Brokers under which tasks that wait are lost, and a core that loses them on any broker."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, ClassVar

import django
import pytest
from broken_brokers.sound import FAR, BrokenCase, Sound
from broken_kit.common import Hurry
from django.conf import settings

from qcore import Delivery

if not settings.configured:  # in the run of their own; else those of the tests
    settings.configure(
        DATABASES={
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
        },
        INSTALLED_APPS=["qcore", "qcore_limits", "qcore_flows"],
        SECRET_KEY="a key for tests, of no use to anybody",
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
        Q_CLUSTER={"name": "brokers"},
    )
    django.setup()

from qcore.features import RUN, Admission, Claim
from qcore.ledger import features
from qcore.ledger.outbox import Outbox
from qcore.ledger.relay import Relay
from qcore.ledger.tickets import Tickets
from qcore.settled import TicketState
from qcore.signing import peek


class Waiting(Sound):
    """Has no fault; each subclass has one, in itself or in the core."""

    @staticmethod
    def spoil(patch: pytest.MonkeyPatch) -> None:
        """Put a fault into the core."""


class TakesWhatIsSentAgainForACopy(Waiting):
    caught_by = "test_a_task_that_comes_later_runs_once"
    seen: ClassVar[set[str]] = set()

    def enqueue_with_priority(
        self, packages: Sequence[bytes], priority: int, *, delay: float = 0
    ) -> list[str]:
        new = [one for one in packages if peek(one).id not in self.seen]
        self.seen.update(peek(one).id for one in packages)
        return super().enqueue_with_priority(new, priority, delay=delay)


class NeverTellsOfALostAcknowledgement(Waiting):
    """Takes what was delivered once for acknowledged."""

    caught_by = "test_a_copy_of_a_parked_task_is_dropped"

    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        found = super().dequeue(limit, wait)
        self.acknowledge_many([one.receipt for one in found])
        return found


class KeepsWhatIsParked(Waiting):
    caught_by = "test_a_parked_task_leaves_the_broker_until_it_is_woken"

    def acknowledge_many(self, receipts: Sequence[Hashable]) -> None:
        return


class LosesThoseThatAreWoken(TakesWhatIsSentAgainForACopy):
    caught_by = "test_a_parked_task_that_expires_ends"
    seen: ClassVar[set[str]] = set()


class GivesBackAtOnce(Waiting):
    caught_by = "test_a_task_that_is_given_back_stays_what_it_is"
    term = FAR

    def release(self, receipts: Sequence[Hashable], *, delay: float = 0) -> None:
        super().release(receipts)


class LosesWhatIsGivenBack(Waiting):
    caught_by = "test_a_task_that_was_given_back_can_be_cancelled"

    def release(self, receipts: Sequence[Hashable], *, delay: float = 0) -> None:
        self.acknowledge_many(receipts)


class KeepsNoPlace(TakesWhatIsSentAgainForACopy):
    """Under it, a task that a limit has parked never comes back."""

    caught_by = "test_scenarios_of_plugins"
    seen: ClassVar[set[str]] = set()


# -- faults of the core ----------------------------------------------------------------
class LookUpIgnoresGens(Waiting):
    caught_by = "test_a_copy_of_a_task_that_was_sent_again_is_dropped"

    @staticmethod
    def spoil(patch: pytest.MonkeyPatch) -> None:
        forget(patch, gen=0)


class LookUpIgnoresEnds(Waiting):
    caught_by = "test_a_task_that_has_ended_does_not_run_again"

    @staticmethod
    def spoil(patch: pytest.MonkeyPatch) -> None:
        forget(patch, final=None)


def forget(patch: pytest.MonkeyPatch, **fields: Any) -> None:
    """Let every look at a ticket miss something."""
    for call in ("look_up", "lock"):
        sound: Callable[..., dict[str, TicketState]] = getattr(Tickets, call)

        def look(
            *words: Any, sound: Callable[..., dict[str, TicketState]] = sound
        ) -> dict[str, TicketState]:
            found = sound(*words)
            return {id: one._replace(**fields) for id, one in found.items()}

        patch.setattr(Tickets, call, look)


class ForgetsWhoWasCancelled(Waiting):
    caught_by = "test_a_parked_task_that_is_cancelled_ends"

    @staticmethod
    def spoil(patch: pytest.MonkeyPatch) -> None:
        def known(claim: Claim, state: TicketState) -> Admission:
            return RUN

        patch.setattr(features, "_known", known)


class RelayDeletesBeforeItSends(Waiting):
    caught_by = "test_a_task_that_is_woken_outlives_an_outage"

    @staticmethod
    def spoil(patch: pytest.MonkeyPatch) -> None:
        send = Relay._send

        def late(self: Any, broker: Any, token: str, rows: Any) -> None:
            Outbox.delete(self._outbox, token, [row.id for row in rows])
            send(self, broker, token, rows)

        patch.setattr(Relay, "_send", late)


class WaitingCase(BrokenCase):
    kind: ClassVar[type[Sound]]

    @pytest.fixture(autouse=True)
    def _spoiled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        if issubclass(self.kind, Waiting):
            self.kind.spoil(monkeypatch)


def cases(names: dict[str, Any]) -> dict[str, type[WaitingCase]]:
    """Return a test class for each of these brokers."""
    broken = [
        value
        for value in names.values()
        if isinstance(value, type) and issubclass(value, Waiting) and value.caught_by
    ]
    return {
        f"Test{kind.__name__}": type(
            f"Test{kind.__name__}", (Hurry, WaitingCase), {"kind": kind}
        )
        for kind in broken
    }


globals().update(cases(globals().copy()))


class TestSound(WaitingCase):
    """The control: what catches the broken ones must pass here."""

    kind = Waiting
