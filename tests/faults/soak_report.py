"""What a soak has found, in words and as a picture."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from faults.asked import undisturbed
from faults.judge import BEGAN, CRASHED, ENDED, FAILED, Fault, History, Run, runs_of
from faults.plot import draw

if TYPE_CHECKING:
    from faults.load import Load
    from faults.rough_day import Day

#: What a rescue is called where no fault ended the run. Beside a fault it may have to wait
#: for that one's end: what is not stored cannot be given back.
CRASH, BESIDE = "task that ends its worker", "the same, while something else was broken"


def report(day: Day, load: Load, history: History, rested: float | None) -> str:
    """Return it in words; ``rested`` is how many seconds it took in the end."""
    runs = runs_of(history.notes)
    stored = Counter(final.id for final in history.finals)
    twice = [k for k, some in runs.items() if sum(r.how == ENDED for r in some) > 1]
    killings = sum(map(len, history.killings.values()))
    counts = day.counts | Counter({"cluster by a task": killings})
    faults = ", ".join(
        f"{name} {count}" for name, count in sorted(counts.items()) if count
    )
    kinds = ", ".join(
        f"{name} {count}" for name, count in sorted(load.counts().items())
    )
    aside = Counter(history.quarantined)
    lines = [
        f"seed {day.seed}, {day.samples[-1][0]:.0f} s",
        f"tasks     {len(load.sent)} sent, {len(load.doubtful)} refused or in doubt",
        f"of these  {kinds}",
        f"runs      {sum(note.event == BEGAN for note in history.notes)}",
        f"faults    {faults or 'none'}",
        f"lost      {sum(not stored[id] for id in load.sent)}",
        f"malformed {len(history.malformed)} put there, {len(aside)} in quarantine",
        f"          {sum(n > 1 for n in aside.values())} of them twice",
        f"killers   {_deadliest(history)}",
        f"done twice {len(twice)}, each time after a fault",
        *_asked(history),
        f"at rest   {'never' if rested is None else f'{rested:.1f} s'} after the last",
        "rescues, from the fault to the beginning of the next run:",
    ]
    rescues: dict[str, list[float]] = defaultdict(list)
    for what, seconds in rescue_times(runs.values(), day.faults):
        rescues[what].append(seconds)
    lines += [f"  {what}: {quantiles(some)}" for what, some in sorted(rescues.items())]
    lines += [
        "as before again: processes after their end, services after their return:"
    ]
    times = sorted(day.recovery.times.items())
    lines += [f"  {what}: {quantiles(some)}" for what, some in times]
    lines += ["memory and descriptors:", *_usage(day)]
    return "\n".join(lines)


def _asked(history: History) -> list[str]:
    """Return what was asked beyond the run of tasks, and how soon it was done."""
    asked, runs = history.asked, runs_of(history.notes)
    alone = len(undisturbed(history, asked))
    sent_again = len(asked.tickets)
    answers = ", ".join(f"{what} {n}" for what, n in sorted(asked.answers.items()))
    paused = sum(resumed - told for told, resumed in asked.pauses)
    reached = [
        run.ended - told
        for key, told in asked.cancelled.items()
        for run in runs.get(key, ())
        if run.how == FAILED and run.ended is not None and run.ended > told
    ]
    return [
        f"retries   {len(asked.policies)} tasks, {alone} of them undisturbed",
        f"          {sent_again} tasks were sent again as new packages",
        f"delayed   {len(asked.due)}",
        f"cancelled {answers or 'none'}",
        f"          in their runs: {quantiles(reached) if reached else 'none'}",
        f"pauses    {len(asked.pauses)}, {paused:.0f} s",
    ]


def _deadliest(history: History) -> str:
    most = max(map(len, history.killings.values()), default=0)
    return (
        f"{len(history.killings)} tasks killed their cluster, one of them {most} times"
    )


def rescue_times(
    some_runs: Iterable[Sequence[Run]], faults: Sequence[Fault]
) -> Iterator[tuple[str, float]]:
    """Yield what ended each run that something ended, and the seconds to the next run."""
    for some in some_runs:
        for first, second in itertools.pairwise(some):
            if first.how == CRASHED:
                ended = first.ended or 0
                disturbed = any(
                    fault.began < second.began and fault.ended > ended
                    for fault in faults
                )
                yield BESIDE if disturbed else CRASH, second.began - ended
            elif first.ended is None and (fault := _end_of(first, faults)):
                start = max(first.began, fault.began)
                yield fault.what, second.began - start


def _end_of(run: Run, faults: Sequence[Fault]) -> Fault | None:
    """Return the first fault after the beginning of a run that may have ended it."""
    found = [fault for fault in faults if fault.ended >= run.began]
    own = [fault for fault in found if run.pid in fault.pids]
    return min(own or found, key=lambda fault: fault.began, default=None)


def quantiles(values: Iterable[float]) -> str:
    """Return number, median, 99th percentile and longest of some seconds."""
    values = sorted(values)
    p50, p99 = (values[int(len(values) * part)] for part in (0.5, 0.99))
    times = f"p50 {p50:.2f} s, p99 {p99:.2f} s, longest {values[-1]:.2f} s"
    return f"{len(values)}, {times}"


def _usage(day: Day) -> Iterator[str]:
    """Yield one line for each process: its memory, and its descriptors."""
    for name, points in lines_of(day, 2).items():
        values = [value for _, value in points]
        most = max(value for _, value in lines_of(day, 3)[name])
        yield (
            f"  {name}: {values[0]:,.0f} kB first, {max(values):,.0f} most,"
            f" {values[-1]:,.0f} last; at most {most:.0f} descriptors"
        )


def growth(
    day: Day, column: int, warm: float, level: Callable[[list[float]], float]
) -> dict[str, float]:
    """Return by how much each process needs more in the end than when it was warm.

    Args:
        day: of which all processes have lived to the end.
        column: of the samples, as for ``lines_of``.
        warm: the part of the day after which that is so.
        level: what a process needed, of several samples.
    """
    found = {}
    for name, points in lines_of(day, column).items():
        values = [value for _, value in points]
        before = values[: max(1, int(len(values) * warm))]
        found[name] = level(values[-len(before) :]) - level(before)
    return found


def lines_of(day: Day, column: int) -> dict[str, list[tuple[float, float]]]:
    """Return memory (2) or descriptors (3) over time, by process."""
    found: dict[str, list[tuple[float, float]]] = {}
    for sample in day.samples:
        found.setdefault(sample[1], []).append((sample[0], sample[column]))
    return dict(sorted(found.items()))


def picture(day: Day, title: str) -> str:
    """Return it as SVG."""
    panels = {
        "resident memory, kB": lines_of(day, 2),
        "open descriptors": lines_of(day, 3),
    }
    return draw(title, panels, day.told)
