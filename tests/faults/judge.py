"""The judge: says what in a history breaks a promise of the manual.

A history is what was sent, what tasks noted while they ran, what the store has in the
end, what is left over, and when the test did something that may run a task twice.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from faults.asked import Asked, asked_and_not_done

SUCCESS = "success"  # the outcome
BEGAN, ENDED, FAILED, CRASHED = "began", "ended", "failed", "crashed"


class Run(NamedTuple):
    """One execution of a task's body."""

    pid: int
    began: float  # monotonic
    ended: float | None  # None: nothing was heard of its end
    how: str | None = None  # ENDED, FAILED or CRASHED


class Final(NamedTuple):
    """A row of the store."""

    id: str
    success: bool
    attempts: int
    crashes: int = 0
    pid: object = None  # of the worker that the value came from, if it says so
    outcome: str = ""  # of the last attempt
    text: str = ""  # of the error


class End(NamedTuple):
    """How a task must end."""

    outcomes: frozenset[str]
    words: str = ""  # that the text of the error must have


class Fault(NamedTuple):
    """Something that the test did, from when to when it may have ended a run."""

    began: float  # monotonic
    ended: float
    what: str = ""  # "worker", "sentinel" ...
    pids: frozenset[int] = frozenset()  # of workers whose task it may have ended


class Note(NamedTuple):
    """What a task has noted of itself; the entries of a ledger have this form."""

    key: str
    event: str
    pid: int
    at: float


#: Where nothing is said of an end.
ANY = End(frozenset({SUCCESS}))


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Everything that the judge is told."""

    #: task id -> the key under which it takes notes
    sent: Mapping[str, str]
    notes: Iterable[Note]
    finals: Iterable[Final]
    #: when the test killed, stopped or cut off something
    faults: Sequence[Fault] = ()
    #: (schedule, slot) of each task that a scheduler has made
    slots: Iterable[tuple[object, object]] = ()
    waiting: int = 0  # packages in the broker
    claimed: int = 0
    survivors: Sequence[object] = ()  # processes
    max_attempts: int = 0  # 0: no limit
    max_crashes: int = 3
    #: keys that must have begun in this order
    order: Sequence[str] = field(default=())
    #: task id -> how it must end; the others may end in any way
    ends: Mapping[str, End] = field(default_factory=dict)
    #: marks of malformed entries that somebody has put into the queue
    malformed: Sequence[str] = ()
    #: marks of those in quarantine, and what else is there
    quarantined: Sequence[str] = ()
    #: key -> when it has killed its cluster
    killings: Mapping[str, Sequence[float]] = field(default_factory=dict)
    #: what was asked of tasks beyond their run
    asked: Asked = field(default_factory=Asked)


def check_history(history: History) -> None:
    """Raise AssertionError with every complaint there is."""
    complaints = list(judge(history))
    shown = "\n".join(complaints[:20])
    assert not complaints, f"{len(complaints)} promises are broken:\n{shown}"


def judge(history: History) -> Iterator[str]:
    """Yield one sentence for each promise that is broken."""
    runs = runs_of(history.notes)
    finals = list(history.finals)
    yield from _one_end_each(history, finals)
    yield from _whole(history, runs)
    yield from _one_owner(history, runs, finals)
    yield from _bounded(history, finals)
    yield from _as_they_must(history, finals)
    yield from _set_aside(history)
    for slot, count in Counter(history.slots).items():
        if count > 1:
            yield f"P10: slot {slot} was fired {count} times"
    yield from _nothing_left(history)
    yield from _in_order(history, runs)
    yield from asked_and_not_done(history, history.asked, runs, finals)


def runs_of(notes: Iterable[Note]) -> dict[str, list[Run]]:
    """Return the runs by key, each in the order in which they began."""
    found: dict[str, list[Run]] = defaultdict(list)
    for note in sorted(notes, key=lambda note: note.at):
        runs = found[note.key]
        if note.event == BEGAN:
            runs.append(Run(note.pid, note.at, None))
            continue
        for index, run in enumerate(runs):
            if run.pid == note.pid and run.ended is None:
                runs[index] = run._replace(ended=note.at, how=note.event)
    return found


def _one_end_each(history: History, finals: Sequence[Final]) -> Iterator[str]:
    counts = Counter(final.id for final in finals)
    for id in history.sent:
        if counts[id] != 1:
            yield f"P1: {id} has {counts[id]} final states"
    for id in counts.keys() - history.sent.keys():
        yield f"P1: {id} has a final state and was never sent"


def _whole(history: History, runs: Mapping[str, Sequence[Run]]) -> Iterator[str]:
    """Nothing runs that was not sent, and nothing ends that has not begun."""
    for key in runs.keys() - set(history.sent.values()):
        yield f"P1: {key} ran and was never sent"
    counts = Counter((note.key, note.event == BEGAN) for note in history.notes)
    for key in runs:
        if counts[key, False] > counts[key, True]:
            yield f"P2: {key} ended more often than it began"


def _one_owner(
    history: History, runs: Mapping[str, Sequence[Run]], finals: Iterable[Final]
) -> Iterator[str]:
    for key in set(history.sent.values()) | runs.keys():
        for first, second in itertools.pairwise(runs.get(key, ())):
            failed = first.how in (FAILED, CRASHED)
            again = failed and (first.ended or 0) <= second.began
            excused = any(
                fault.began <= second.began and first.began <= fault.ended
                for fault in history.faults
            )
            if not again and not excused:
                yield f"P2: {key} ran again and nothing had failed: {first}, {second}"
    for final in finals:
        own = runs.get(history.sent.get(final.id, ""), ())
        ended = [run.pid for run in own if run.how == ENDED]
        must_fail = SUCCESS not in history.ends.get(final.id, ANY).outcomes
        if not final.success and own and own[-1].how == ENDED and not must_fail:
            if not any(fault.ended >= own[-1].began for fault in history.faults):
                yield f"P2: {final.id} is a failure and its last run has succeeded"
        elif final.success and not ended:
            yield f"P2: {final.id} is a success and no run of it has ended"
        elif final.success and final.pid is not None and final.pid not in ended:
            yield f"P2: the result of {final.id} is of a run that has not ended"


def _bounded(history: History, finals: Iterable[Final]) -> Iterator[str]:
    for final in finals:
        if history.max_attempts and final.attempts > history.max_attempts:
            yield f"P6: {final.id} had {final.attempts} attempts"
        if final.crashes > history.max_crashes:
            yield f"P6: {final.id} killed {final.crashes} workers"
    for key, moments in history.killings.items():
        # beside another fault, the end of a cluster is not held against a task
        beside = sum(
            min(moments) <= fault.began <= max(moments) for fault in _others(history)
        )
        if len(moments) > history.max_crashes + beside:
            yield f"P6: {key} killed {len(moments)} clusters"


def _others(history: History) -> list[Fault]:
    own = {moment for moments in history.killings.values() for moment in moments}
    return [fault for fault in history.faults if fault.began not in own]


def _as_they_must(history: History, finals: Iterable[Final]) -> Iterator[str]:
    for final in finals:
        end = history.ends.get(final.id)
        if end is None:
            continue
        if final.outcome not in end.outcomes:
            key, expected = (
                history.sent.get(final.id),
                " or ".join(sorted(end.outcomes)),
            )
            said = f"{final.outcome} and not as {expected}: {final.text[:200]!r}"
            yield f"P1: {final.id} ({key}) ended as {said}"
        elif end.words not in final.text:
            yield f"P12: {final.id} does not say {end.words!r}: {final.text[:200]!r}"


def _set_aside(history: History) -> Iterator[str]:
    """What is malformed is in quarantine, and nothing else."""
    for mark in sorted(set(history.malformed) - set(history.quarantined)):
        yield f"P12: {mark} is not in quarantine"
    for mark in sorted(set(history.quarantined) - set(history.malformed)):
        yield f"P12: {mark} is in quarantine, and nobody has put it into the queue"


def _nothing_left(history: History) -> Iterator[str]:
    if history.claimed:
        yield f"P1: {history.claimed} packages are still claimed"
    if history.waiting:
        yield f"P1: {history.waiting} packages still wait"
    if history.survivors:
        yield f"P11: processes are left: {list(history.survivors)}"


def _in_order(history: History, runs: Mapping[str, Sequence[Run]]) -> Iterator[str]:
    starts = [(key, runs[key][0].began) for key in history.order if runs.get(key)]
    for (key, began), (later, at) in itertools.pairwise(starts):
        if at < began:
            yield f"P4: {later} began before {key}"
