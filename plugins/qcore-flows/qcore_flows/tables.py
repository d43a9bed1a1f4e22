"""The rows of flows in the ledger's database: how they are reached, and locked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from django.apps import apps
from django.db import connections

from qcore.brokers.tools import chunks, placeholders
from qcore.errors import (
    BrokerUnavailable,
    ConfigError,
    EnqueueError,
    PackageError,
    PayloadTooLarge,
    PluginError,
    SerializeError,
    Unsupported,
)
from qcore.runtime import current

from .models import EdgeRow, FlowRow, MemberRow

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from qcore.runtime import LedgerPlace

#: Ids in one statement. SQLite before 3.32 takes 999 parameters.
MOST = 150

#: What says of a task that it can never be sent: it is too large, or its queue has no broker
#: here. All else passes, and the end that it follows from is recorded later.
NEVER_SENT = (
    ConfigError,
    EnqueueError,
    PackageError,
    PayloadTooLarge,
    PluginError,
    SerializeError,
    Unsupported,
)

#: The callbacks of a flow, in the order in which they are sent.
CALLBACKS = ("on_first_failure", "on_complete", "on_success")


FLOWS = FlowRow._meta.db_table  # noqa: SLF001 - Django's public name of it
MEMBERS = MemberRow._meta.db_table  # noqa: SLF001 - as above
EDGES = EdgeRow._meta.db_table  # noqa: SLF001 - as above
#: What is read of a flow that is locked: all but the packages of its callbacks.
_READ = [
    str(field.column)
    for field in FlowRow._meta.concrete_fields  # noqa: SLF001 - as above
    if field.column not in CALLBACKS
]


def place() -> LedgerPlace:
    """Return the ledger.

    Raises:
        EnqueueError: this project has no tables for flows.
    """
    ledger = current.ledger
    if ledger is None or not apps.is_installed("qcore_flows"):
        raise EnqueueError(
            "batches and graphs need 'qcore' and 'qcore_flows' in INSTALLED_APPS. Add them"
            " and run: python manage.py migrate"
        )
    return ledger


def require_tables(what: str) -> LedgerPlace:
    """Return the ledger, in which something is about to be written.

    Args:
        what: cannot be done without the tables, for the error.

    Raises:
        EnqueueError: as ``place``.
        BrokerUnavailable: the tables are missing until somebody runs ``migrate``.
    """
    ledger = place()
    if told := ledger.lacking(["flows"]):
        raise BrokerUnavailable(f"cannot {what}: {told}")
    return ledger


def flows() -> QuerySet[FlowRow]:
    """Return all flows, without the packages of their callbacks."""
    return FlowRow.objects.using(place().database).defer(*CALLBACKS)


def members() -> QuerySet[MemberRow]:
    """Return all members, without their packages and values."""
    rows = MemberRow.objects.using(place().database)
    return rows.defer("package", "value")


def edges() -> QuerySet[EdgeRow]:
    """Return all edges."""
    return EdgeRow.objects.using(place().database)


def lock(ids: Iterable[str]) -> dict[str, FlowRow]:
    """Lock flows until the end of the transaction; return those that are there.

    In the order of their ids: so two transactions never wait for each other.
    """
    found: dict[str, FlowRow] = {}
    ledger = place()
    features = connections[ledger.database].features
    for part in parts(ids):
        which = f"id IN ({placeholders(part)})"
        if not features.has_select_for_update:
            # SQLite: a transaction that reads first may not write any more
            ledger.execute(f"UPDATE {FLOWS} SET touched = touched WHERE {which}", part)
        tail = " FOR UPDATE" if features.has_select_for_update else ""
        for values in ledger.execute(
            f"SELECT {', '.join(_READ)} FROM {FLOWS} WHERE {which} ORDER BY id{tail}",
            part,
        ):
            row = FlowRow.from_db(ledger.database, _READ, values)
            found[row.id] = row
    return found


def write(rows: Sequence[FlowRow], fields: Sequence[str]) -> None:
    """Write fields of flows, each with its own values."""
    values = [[row.id, *(getattr(row, name) for name in fields)] for row in rows]
    place().change(FLOWS, "id", fields, values)


def touch(flow: FlowRow, now: float) -> None:
    """Note that a flow has changed; it is not saved.

    A moment to come stays: members wait until then, and are not lost before.
    """
    flow.touched = max(flow.touched, now) if flow.pending else now


def expect(flow_id: str, moment: float) -> None:
    """Note that members of a flow come at a moment, and cannot be heard of before."""
    flows().filter(pk=flow_id, touched__lt=moment).update(touched=moment)


def children_of(flow_id: str) -> dict[str, list[str]]:
    """Return for each member of a flow that others wait for: the others."""
    found: dict[str, list[str]] = {}
    pairs = edges().filter(flow_id=flow_id).values_list("parent", "child")
    for parent, child in pairs.iterator(chunk_size=2000):
        found.setdefault(parent, []).append(child)
    return found


def below(starts: Iterable[str], children: Mapping[str, Sequence[str]]) -> set[str]:
    """Return all members that wait for one of these, or for one that does, and so on."""
    found: set[str] = set()
    left = [child for start in starts for child in children.get(start, ())]
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            left.extend(children.get(one, ()))
    return found


def parts(ids: Iterable[str]) -> Iterator[Sequence[str]]:
    """Return ids in portions for one statement each, sorted, each id once."""
    return iter(chunks(sorted(set(ids)), MOST))
