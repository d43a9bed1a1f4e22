"""The ledger: what waits in the outbox, and whether somebody sends it."""

from __future__ import annotations

from collections.abc import Iterator

from ..findings import Finding, error, ok, warning
from ..ledger.place import is_ready
from ..ledger.survey import LOOKED_AT, QueueState, survey, under_old_keys
from ..monitor.text import number, plural, seconds
from ..runtime import current
from .tables import required, unset

#: Seconds that a row may be late: the relay of a cluster looks every two, and a claim of a
#: sender or a relay that was killed ends after 30.
LATE = 60.0


def ledger() -> Iterator[Finding]:
    """Yield what waits in the outbox.

    Raises:
        ConfigError: the ledger is in no database that can have it.
        django.db.Error: its database cannot be reached.
    """
    outbox = current.outbox
    if (
        outbox is None
        or outbox.database not in required()
        or unset(outbox.database)
        or not is_ready(outbox.database)
    ):
        return  # it is not used, or the section of the databases tells why not
    states = survey(outbox.database)
    if not states:
        yield ok("the outbox is empty")
        return
    for state in states:
        yield _judge(state)
    older, unknown = under_old_keys(outbox.database, current.signer)
    among = f"of the oldest {LOOKED_AT:,} tasks of the outbox"
    if older:
        yield warning(
            f"{among}, {number(older)} are signed with a key of SECRET_KEY_FALLBACKS",
            "Keep that key until they are sent: no cluster would run them without it.",
        )
    if unknown:
        yield error(
            f"{among}, {number(unknown)} are signed with a key that is not in use",
            "Add the key to SECRET_KEY_FALLBACKS, or to signing_keys.",
        )


def _judge(state: QueueState) -> Finding:
    what = f"the outbox has {plural(state.rows, 'task')} for the queue {state.queue!r}"
    if state.refused:
        return error(
            f"{what}; the broker has refused {number(state.refused)} of them again and"
            " again",
            "The log of qcore.relay has the reasons.",
        )
    if state.late is None:
        return ok(f"{what}, and none has a time")
    if state.late > LATE:
        return error(
            f"{what}; the first one should have been sent {seconds(state.late)} ago",
            "Is a cluster running for that queue? It sends them:"
            f" qcore cluster --name {state.queue}",
        )
    if state.late > 0:
        return ok(f"{what}, the first one to be sent now")
    return ok(f"{what}, the first one to be sent in {seconds(-state.late)}")
