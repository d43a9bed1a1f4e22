"""What was asked of the tasks of a soak beyond their run, and whether it was kept.

That is: not to begin before a moment, to be tried again as a policy says, to be cancelled,
and to wait while their queue is paused. The manual says what each of them promises; the
judge calls this part of it.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from faults.judge import Fault, Final, History, Run

#: Seconds that clocks of two kinds, and a scheduler, may be apart.
CLOCKS = 0.05
#: What keeps a cluster from hearing of a pause or a cancelling.
DEAF = ("database", "freeze")
#: As ``qcore.envelope.Outcome`` and ``faults.judge`` say.
CANCELLED, ENDED, FAILED = "cancelled", "ended", "failed"


class Policy(NamedTuple):
    """How often a task runs where nothing disturbs it, and when."""

    runs: int
    attempts: int  # those that count
    wait: float = 0  # seconds from the failure of one to the beginning of the next


@dataclass(slots=True, kw_only=True)
class Asked:
    """What was asked, by the keys of tasks; moments are monotonic."""

    #: when each task was sent
    sent: dict[str, float] = field(default_factory=dict)
    #: when it was told to begin
    due: dict[str, float] = field(default_factory=dict)
    policies: dict[str, Policy] = field(default_factory=dict)
    #: when whoever cancelled it was answered that it had not ended
    cancelled: dict[str, float] = field(default_factory=dict)
    #: from the answer to ``pause`` to the call of ``resume``
    pauses: list[tuple[float, float]] = field(default_factory=list)
    #: when the last attempt had ended, as its result says
    ended: dict[str, float] = field(default_factory=dict)
    #: what was answered to those who cancelled
    answers: Counter[str] = field(default_factory=Counter)
    #: the outcome in the ticket of each task that was sent again; None: it has none
    tickets: dict[str, str | None] = field(default_factory=dict)
    #: seconds in which a cluster hears of it, where nothing keeps it from that
    patience: float = 5.0
    #: Whether a start takes so long here that a cluster gives up to ask the ledger first:
    #: it does so for five seconds. Then every fault is an excuse.
    is_slow: bool = False


def asked_and_not_done(
    history: History,
    asked: Asked,
    runs: Mapping[str, Sequence[Run]],
    finals: Iterable[Final],
) -> Iterator[str]:
    """Yield one sentence for each thing that was asked and not done."""
    by_key = {history.sent[f.id]: f for f in finals if f.id in history.sent}
    yield from _early(asked, runs)
    for key, policy in asked.policies.items():
        if key in by_key:
            some = runs.get(key, ())
            yield from _against_policy(history, asked, key, policy, some, by_key[key])
    for key, told in asked.cancelled.items():
        yield from _cancelled(
            history, asked, key, told, runs.get(key, ()), by_key.get(key)
        )
    yield from _begun_in_a_pause(history, asked, runs)
    for key, said in asked.tickets.items():
        if key in by_key and said != by_key[key].outcome:
            stored = by_key[key].outcome
            yield f"P1: the ticket of {key} says {said}, and its result {stored}"


def undisturbed(history: History, asked: Asked) -> list[str]:
    """Return the keys of tasks with a policy that nothing has disturbed."""
    return [key for key in asked.policies if _is_undisturbed(history, asked, key)]


def _is_undisturbed(history: History, asked: Asked, key: str) -> bool:
    if key not in asked.ended:
        return False
    began, ended = asked.sent[key] - CLOCKS, asked.ended[key] + CLOCKS
    # a pause gives back what has not begun, which costs an attempt
    pauses = [(told, resumed + asked.patience) for told, resumed in asked.pauses]
    faults = [(fault.began, fault.ended) for fault in history.faults]
    return not any(
        first <= ended and began <= last for first, last in [*faults, *pauses]
    )


def _early(asked: Asked, runs: Mapping[str, Sequence[Run]]) -> Iterator[str]:
    """Nothing excuses a beginning before its time."""
    for key, due in asked.due.items():
        for run in runs.get(key, ())[:1]:
            if run.began < due - CLOCKS:
                yield f"delay: {key} began {due - run.began:.2f} s too early"


def _against_policy(
    history: History,
    asked: Asked,
    key: str,
    policy: Policy,
    runs: Sequence[Run],
    final: Final,
) -> Iterator[str]:
    if _is_undisturbed(history, asked, key):
        if len(runs) != policy.runs:
            yield f"retries: {key} ran {len(runs)} times and not {policy.runs}"
        if final.attempts != policy.attempts:
            yield (
                f"retries: {key} had {final.attempts} attempts and not {policy.attempts}"
            )
    for first, second in itertools.pairwise(runs):
        if first.how != FAILED or first.ended is None:
            continue
        waited = second.began - first.ended
        if waited >= policy.wait - CLOCKS or _between(history.faults, first, second):
            continue
        yield f"retries: {key} came again after {waited:.2f} s and not {policy.wait:g}"


def _between(faults: Iterable[Fault], first: Run, second: Run) -> bool:
    """Whether a fault may have ended the first run, whatever it has noted."""
    return any(f.began <= second.began and first.began <= f.ended for f in faults)


def _cancelled(
    history: History,
    asked: Asked,
    key: str,
    told: float,
    runs: Sequence[Run],
    final: Final | None,
) -> Iterator[str]:
    if final is None:
        return  # others complain
    last = told + asked.patience
    for run in runs:
        if run.began > last and not _is_deaf(history, told, run.began):
            late = run.began - told
            yield f"cancel: {key} began {late:.2f} s after it was cancelled"
        ended = run.ended if run.how == ENDED else None
        if ended and ended > last and not _is_deaf(history, told, ended):
            late = ended - told
            yield f"cancel: {key} ended by itself {late:.2f} s after it was cancelled"
    done = any(run.how == ENDED for run in runs)
    if final.outcome != CANCELLED and not done:
        yield f"cancel: {key} was cancelled, has not run and ended as {final.outcome}"


def _begun_in_a_pause(
    history: History, asked: Asked, runs: Mapping[str, Sequence[Run]]
) -> Iterator[str]:
    """What was claimed and not begun goes back, so nothing begins at all."""
    for told, resumed in asked.pauses:
        for key, some in runs.items():
            for run in some:
                if not told + asked.patience < run.began < resumed:
                    continue
                if not _is_deaf(history, told, run.began):
                    late = run.began - told
                    yield f"pause: {key} began {late:.2f} s after its queue was paused"


def _is_deaf(history: History, began: float, ended: float) -> bool:
    """Whether a cluster may not have heard, at some moment between.

    After an outage it waits a while until it looks again.
    """
    return any(
        (fault.what in DEAF or history.asked.is_slow)
        and fault.began <= ended
        and began <= fault.ended + history.asked.patience
        for fault in history.faults
    )
