"""Ending: members that have ended are counted, and what follows from that is sent.

It runs in the transaction that records the ends. Everything is read from rows, under the
lock of the flow's row; an end that was counted changes nothing when it comes again.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import starmap
from typing import TYPE_CHECKING, NamedTuple

from django.db import transaction

from qcore.brokers.tools import placeholders
from qcore.envelope import Outcome
from qcore.errors import PackageError
from qcore.runtime import current

from .callbacks import CHANGED, decide, fresh, send_due
from .models import FlowRow, MemberRow
from .option import membership
from .tables import (
    EDGES,
    MEMBERS,
    NEVER_SENT,
    below,
    children_of,
    expect,
    lock,
    members,
    parts,
    place,
    touch,
    write,
)

if TYPE_CHECKING:
    from qcore import Settled, Task

logger = logging.getLogger("qcore.flows")

#: Seconds until a member comes again, from which on its flow is told: less than the sweep
#: ever waits for.
_LONG = 60.0
#: How a member ends that never runs, for one that it waits for has failed.
SKIPPED = "skipped"
#: How a member ends of which nothing is heard any more.
LOST = "lost"


class Member(NamedTuple):
    """What of a member that has ended is needed."""

    id: str
    flow_id: str
    task_id: str
    is_taken: bool
    may_fail: bool


class Ended(NamedTuple):
    """How a member has ended."""

    member: Member | MemberRow
    outcome: str
    value: tuple[str, bytes] | None = None
    """Serializer and value, where others take it."""
    package: bytes | None = None
    """What sends it again, where its row does not have that yet."""

    @property
    def lets_go(self) -> bool:
        """Whether those that wait for it go on."""
        if self.outcome == SKIPPED:
            return False
        return self.outcome == Outcome.SUCCESS or bool(self.member.may_fail)


def settle(settled: Sequence[Settled]) -> None:
    """Count the ends of tasks that are members of flows."""
    final: dict[str, Settled] = {}
    flow_ids: set[str] = set()
    pauses: dict[str, float] = {}
    for one in settled:
        own = membership(one.task)
        if own is None:
            continue
        if one.final:
            final[one.task.id] = one
            flow_ids.add(own.flow_id)
        elif one.again is not None and one.again >= _LONG:
            pauses[own.flow_id] = max(one.again, pauses.get(own.flow_id, 0.0))
    if not final and not pauses:
        return
    locked = lock(flow_ids | pauses.keys())
    _expect(locked, pauses)
    ledger = place()
    rows = [
        row
        for part in parts(final)
        for row in starmap(
            Member,
            ledger.execute(
                f"SELECT {', '.join(Member._fields)} FROM {MEMBERS}"
                f" WHERE task_id IN ({placeholders(part)}) AND outcome IS NULL",
                part,
            ),
        )
        if row.flow_id in locked
    ]
    if rows:
        end(locked, _ended(rows, final))


def _expect(locked: Mapping[str, FlowRow], pauses: Mapping[str, float]) -> None:
    """Note until when members wait that come again after so many seconds."""
    now = place().now() if pauses else 0.0
    for flow_id, pause in pauses.items():
        flow = locked.get(flow_id)
        if flow is not None and flow.pending:
            expect(flow_id, now + pause)
            touch(flow, now + pause)


def _ended(rows: Sequence[Member], final: Mapping[str, Settled]) -> list[Ended]:
    missing = [
        row.task_id
        for row in rows
        if row.is_taken
        and final[row.task_id].outcome == Outcome.SUCCESS
        and final[row.task_id].result is None
    ]
    # an earlier delivery has stored them
    stored = current.results.finished(missing) if missing else {}
    found = []
    for row in rows:
        one = final[row.task_id]
        value = package = None
        if one.outcome != Outcome.SUCCESS:
            package = _package_of(one.task)
        elif row.is_taken:
            value = stored.get(row.task_id)
            if one.result is not None:
                value = one.result.content, one.result.value
        found.append(Ended(row, one.outcome, value, package))
    return found


def _package_of(task: Task) -> bytes | None:
    """Return what sends a member again; None where it is too large by now."""
    try:
        return current.signer.sign(task)
    except PackageError as error:
        logger.warning("the failed task %s cannot be retried: %s", task.id, error)
        return None


def end(locked: Mapping[str, FlowRow], ended: Sequence[Ended]) -> None:
    """Count members as ended; send or skip those that wait for them, and callbacks.

    Args:
        locked: the flows, by their ids.
        ended: members of these flows that had not ended.
    """
    now = place().now()
    changed: set[str] = set()
    while ended:
        changed |= {one.member.flow_id for one in ended}
        _write(ended, now)
        _count(locked, ended)
        of_flows: dict[str, list[Ended]] = {}
        for one in ended:
            if locked[one.member.flow_id].kind == "graph":
                of_flows.setdefault(one.member.flow_id, []).append(one)
        # what cannot be sent has ended, too
        ended = [
            more
            for flow_id, some in of_flows.items()
            for more in _follow(locked[flow_id], some, now)
        ]
    due = {}
    for flow_id in sorted(changed):
        touch(locked[flow_id], now)
        due[flow_id] = decide(locked[flow_id], now)
    write([locked[id] for id in sorted(changed)], CHANGED)
    for flow_id, names in due.items():
        send_due(flow_id, names)


def _write(ended: Sequence[Ended], now: float) -> None:
    """Write down how members have ended."""
    ledger = place()
    plain: dict[str, list[str]] = {}
    values: list[tuple[object, ...]] = []
    packages: list[tuple[object, ...]] = []
    for one in ended:
        id, outcome = one.member.id, one.outcome
        if one.value is not None:
            values.append((id, outcome, now, *one.value))
        elif one.package is None:
            plain.setdefault(outcome, []).append(id)
        if one.package is not None:
            packages.append((id, outcome, now, one.package))
    for outcome, ids in plain.items():
        for part in parts(ids):
            ledger.execute(
                f"UPDATE {MEMBERS} SET outcome = %s, ended = %s"
                f" WHERE id IN ({placeholders(part)})",
                [outcome, now, *part],
            )
    ledger.change(MEMBERS, "id", ("outcome", "ended", "content", "value"), values)
    ledger.change(MEMBERS, "id", ("outcome", "ended", "package"), packages)


def _count(locked: Mapping[str, FlowRow], ended: Iterable[Ended]) -> None:
    for one in ended:
        flow = locked[one.member.flow_id]
        flow.pending -= 1
        if one.outcome == SKIPPED:
            flow.skipped += 1
        elif one.outcome != Outcome.SUCCESS:
            flow.failed += 1
            flow.tolerated += bool(one.member.may_fail)


# -- what waits for them -----------------------------------------------------------------
def _follow(flow: FlowRow, ended: Sequence[Ended], now: float) -> list[Ended]:
    """Send the nodes that wait for nothing any more; return those that end without a run."""
    stopped = [
        one.member.id for one in ended if not one.lets_go and one.outcome != SKIPPED
    ]
    gone: list[Ended] = []
    if stopped:
        gone = _skipped(flow, stopped)
    free = [one.member.id for one in ended if one.lets_go]
    ledger = place()
    children: Counter[str] = Counter()
    for part in parts(free):
        which = f"parent IN ({placeholders(part)})"
        found = ledger.execute(f"SELECT child FROM {EDGES} WHERE {which}", part)
        children.update(child for (child,) in found)
    by_count: dict[int, list[str]] = {}
    for child, count in children.items():
        by_count.setdefault(count, []).append(child)
    for count, ids in by_count.items():
        for part in parts(ids):
            ledger.execute(
                f"UPDATE {MEMBERS} SET waits = waits - %s"
                f" WHERE id IN ({placeholders(part)})",
                [count, *part],
            )
    left = {one.member.id for one in gone}
    return gone + send_ready(set(children) - left, now)


def _skipped(flow: FlowRow, stopped: Sequence[str]) -> list[Ended]:
    """Return the nodes below failed ones, which never run."""
    under = below(stopped, children_of(flow.id))
    return [
        Ended(row, SKIPPED)
        for part in parts(under)
        for row in members().filter(pk__in=part, outcome=None, sent=None)
    ]


def send_ready(ids: Iterable[str], now: float) -> list[Ended]:
    """Send those of these nodes that wait for nothing; return those that cannot be sent."""
    ready = [
        row
        for part in parts(ids)
        for row in MemberRow.objects.using(place().database).filter(
            pk__in=part, outcome=None, sent=None, waits__lte=0
        )
    ]
    tasks: list[tuple[MemberRow, Task]] = []
    broken = []
    for row in ready:
        try:
            task = current.signer.verify(bytes(row.package or b""))
            tasks.append((row, fresh(task, id=row.task_id)))
        except PackageError as error:
            logger.error(
                "node %s of graph %s is not sent: %s", row.name, row.flow_id, error
            )
            broken.append(Ended(row, str(Outcome.FAILURE)))
    for part in parts(row.id for row, _ in tasks):
        place().execute(
            f"UPDATE {MEMBERS} SET sent = %s WHERE id IN ({placeholders(part)})",
            [now, *part],
        )
    return broken + _send(tasks)


def _send(tasks: Sequence[tuple[MemberRow, Task]]) -> list[Ended]:
    """Send tasks; return those that cannot be, each half of what is refused by itself."""
    if not tasks:
        return []
    try:
        with transaction.atomic(place().database):
            skipped = place().send([task for _, task in tasks])
    except NEVER_SENT as error:
        if len(tasks) > 1:
            half = len(tasks) // 2
            return _send(tasks[:half]) + _send(tasks[half:])
        row = tasks[0][0]
        logger.error(
            "node %s of graph %s is not sent: %s", row.name, row.flow_id, error
        )
        return [Ended(row, str(Outcome.FAILURE))]
    return [
        Ended(row, str(Outcome.REPLACED)) for row, task in tasks if task.id in skipped
    ]


# -- claims ------------------------------------------------------------------------------
def over(task_ids: Iterable[str]) -> dict[str, str]:
    """Return how those of these tasks have ended whose members are over: none runs again."""
    found: dict[str, str] = {}
    ledger = place()
    for part in parts(task_ids):
        rows = ledger.execute(
            f"SELECT task_id, outcome FROM {MEMBERS}"
            f" WHERE task_id IN ({placeholders(part)}) AND outcome IS NOT NULL",
            part,
        )
        found.update((id, outcome) for id, outcome in rows)
    return found
