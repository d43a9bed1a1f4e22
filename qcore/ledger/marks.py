"""Marks: which tasks somebody has cancelled, as their tickets say.

A mark is made before anybody knows where the package of the task is. A cluster finds it
when it claims the package, or within a second where it holds the task already.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from django.db import transaction

from ..brokers.tools import chunks, placeholders
from ..models import OutboxRow, Ticket
from ..tasks.state import State, in_outbox
from .clock import now
from .notifications import notify
from .tickets import MAX_IDS, Tickets

if TYPE_CHECKING:
    from ..settled import TicketState
    from .access import Access

_TICKETS = Ticket._meta.db_table  # noqa: SLF001 - Django's public name of it
_OUTBOX = OutboxRow._meta.db_table  # noqa: SLF001


#: Seconds after which a mark may be one of a task that had ended before; and those after
#: which nobody looks for its task any more.
OLD, KEPT = 60.0, 365 * 86400.0
#: Such marks that are looked at together.
LOOKED_AT = 500


class Marks:
    """The marks of a project.

    Args:
        access: to the database of the ledger.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._tickets = Tickets(access.database)

    def add(self, ids: Sequence[str]) -> dict[str, str]:
        """Mark tasks that have not ended, in one transaction.

        What is in the outbox becomes due: it is sent at once, and ends at its claim.

        Returns:
            What is known of the tasks: "ended", "parked", "suspended" or "scheduled".
        """
        found: dict[str, str] = {}
        with transaction.atomic(self._access.database):
            for part in chunks(sorted(set(ids)), MAX_IDS):
                found |= self._add(part)
            notify(self._access.connection)
        return found

    def _add(self, ids: Sequence[str]) -> dict[str, str]:
        found = {
            id: "ended"
            for id, ticket in self._tickets.look_up(ids).items()
            if ticket.final is not None
        }
        open_ids = [id for id in ids if id not in found]
        if not open_ids:
            return found
        connection = self._access.connection
        moment = now(connection)
        mysql = connection.vendor == "mysql"
        new = "VALUES(cancelled)" if mysql else "excluded.cancelled"
        on = (
            "ON DUPLICATE KEY UPDATE"
            if mysql
            else "ON CONFLICT (task_id) DO UPDATE SET"
        )
        # one that has ended meanwhile keeps its end, which wins over any mark
        self._access.execute(
            f"INSERT INTO {_TICKETS} (task_id, gen, starts, runs, cancelled)"
            f" VALUES {', '.join([f'(%s, 0, 0, 0, {moment})'] * len(open_ids))}"
            f" {on} cancelled = COALESCE({_TICKETS}.cancelled, {new})",
            open_ids,
        )
        marks = placeholders(open_ids)
        # First: it sees what was parked while the tickets were waited for. What is being
        # sent already is left to its sender.
        self._access.execute(
            f"UPDATE {_OUTBOX} SET due = {moment} WHERE task_id IN ({marks})"
            " AND claimed IS NULL",
            open_ids,
        )
        rows = self._access.execute(
            f"SELECT task_id, held_by, claimed FROM {_OUTBOX} WHERE task_id IN ({marks})",
            open_ids,
        )
        for id, held_by, claimed in rows:
            # it has just become due: what would be "waiting" was to be sent later
            state = in_outbox(0.0, held_by, claimed, now=0.0)
            found[id] = str(State.SCHEDULED if state == State.WAITING else state)
        return found

    def old(self) -> list[str]:
        """Return the ids of tasks that were marked some time ago and have not ended since."""
        found = self._access.execute(
            f"SELECT task_id FROM {_TICKETS} WHERE ended IS NULL AND cancelled <"
            f" {now(self._access.connection)} - {OLD!r} ORDER BY cancelled LIMIT {LOOKED_AT}"
        )
        return [id for (id,) in found]

    def forget(self, ids: Collection[str]) -> None:
        """Delete the marks of tasks that had ended before, and those of a year ago."""
        moment = now(self._access.connection)
        self._access.execute(
            f"DELETE FROM {_TICKETS} WHERE ended IS NULL AND cancelled < {moment} - {KEPT!r}"
        )
        for part in chunks(sorted(ids), MAX_IDS):
            self._access.execute(
                f"DELETE FROM {_TICKETS} WHERE task_id IN ({placeholders(part)})"
                " AND ended IS NULL AND cancelled IS NOT NULL AND gen = 0",
                part,
            )

    def of(self, ids: Collection[str]) -> dict[str, TicketState]:
        """Return the tickets of those of these tasks that are marked and have not ended."""
        return {
            id: ticket
            for id, ticket in self._tickets.look_up(ids).items()
            if ticket.cancelled is not None and ticket.final is None
        }
