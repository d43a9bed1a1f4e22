"""Calling: a node runs with the results of others as arguments, and gives its own.

Runs in: a worker, around the call of a task.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.db import InterfaceError, OperationalError, connections

from qcore import Discard, Snooze
from qcore.errors import QcoreError, SerializeError
from qcore.results.content import load_bytes
from qcore.runtime import current
from qcore.serializers import get_serializer

from .models import EdgeRow, MemberRow
from .option import membership
from .references import fill
from .steps.options import spawned_by
from .tables import parts, place

#: Seconds until a node is tried again that cannot be given its arguments now.
_PAUSE = 5.0

Call = Callable[[Sequence[Any], Mapping[str, Any]], Any]


def call_member(
    task: Any, args: Sequence[Any], kwargs: Mapping[str, Any], call: Call
) -> Any:
    """Run a member: with the results that it takes, and with one that others can take.

    Raises:
        Discard: a result is not there, or cannot be stored.
        Snooze: the ledger does not answer now.
    """
    own = membership(task)
    if own is not None and own.takes:
        args, kwargs = fill(args, kwargs, _taken(task.id))
    value = call(args, kwargs)
    if own is not None and own.gives:
        _require_storable(value, "other nodes take its result")
    elif spawned_by(task):
        _require_storable(
            value, "the durable task that has spawned it takes its result"
        )
    return value


def _require_storable(value: Any, why: str) -> None:
    """Refuse a value in whose place a note would be stored: others compute with it.

    Raises:
        Discard: it cannot be stored.
    """
    conf = current.conf
    try:
        size = len(get_serializer(conf.serializer).dumps(value))
    except SerializeError as error:
        raise Discard(f"{why}, which cannot be stored: {error}") from error
    if size > conf.max_result:
        raise Discard(
            f"{why}, which has {size:,} bytes; max_result is"
            f" {conf.max_result:,}. Store the data and return its key."
        )


def _taken(task_id: str) -> list[tuple[list[Any], Any]]:
    """Return the values that a task takes, each with its path in the arguments."""
    database = place().database
    try:
        return _read(task_id, database)
    except (OperationalError, InterfaceError) as error:
        connections[database].close_if_unusable_or_obsolete()
        raise Snooze(
            f"the results that it takes cannot be read now: {type(error).__name__}",
            after=_PAUSE,
        ) from error


def _read(task_id: str, database: str) -> list[tuple[list[Any], Any]]:
    rows = MemberRow.objects.using(database)
    own = rows.filter(task_id=task_id).values_list("pk", flat=True)
    places = dict(
        EdgeRow.objects.using(database)
        .filter(child__in=list(own))
        .exclude(places="")
        .values_list("parent", "places")
    )
    if not places:
        raise Discard("its graph was deleted, and so were the results that it takes.")
    found: list[tuple[list[Any], Any]] = []
    for part in parts(places):
        for row in rows.filter(pk__in=part):
            value = _value(row)
            found += [(path, value) for path in json.loads(places[row.pk])]
    return found


def _value(row: MemberRow) -> Any:
    # of a node that is sent again the earlier value, which has let its children go
    may_be_none = row.value is None or (row.may_fail and row.outcome is not None)
    if row.outcome != "success" and may_be_none:
        return None  # it may fail, and others go on
    if row.value is None:
        raise Discard(f"the result of {row.name}, which it takes, was not stored.")
    try:
        return load_bytes(bytes(row.value), row.content, current.conf.accept_content)
    except QcoreError as error:
        raise Discard(
            f"the result of {row.name}, which it takes, cannot be read: {error}"
        ) from error
