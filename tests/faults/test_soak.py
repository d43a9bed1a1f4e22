"""Everything at once, for minutes: a mixed load, faults at random, and the judge.

::

    python3 noxfile.py -s soak -- --minutes 20 --seed 7 --report soak
"""

from __future__ import annotations

import itertools
import random
import shutil
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Self

import pytest
from django.db import Error, connection
from faults.evidence import notes_in
from faults.judge import BEGAN, Final, History, check_history, runs_of
from faults.plot import draw
from faults.rough_day import Day

from qcore.current import current
from qcore.errors import BrokerError
from qcore.models import Schedule, ScheduleSlot, Task
from qcore.tasks import schedule
from qcore.tasks.calls import build
from qcore.tasks.sending import send

#: Tasks per second, about; two clusters with two workers have room for twice as many.
RATE = 12.0
#: Seconds that everything has to come to its end once the harm has stopped.
REST = 90.0

CRASHES, ATTEMPTS = 20, 2
OPTIONS: dict[str, object] = {
    "save_limit": 0, "max_crashes": CRASHES, "shutdown_grace": 1, "timeout": 30,
}  # fmt: skip


class Load:
    """Sends tasks until told to stop, and knows which of them have surely been sent."""

    def __init__(self, queue: str, seed: int) -> None:
        self.sent: dict[str, str] = {}
        self.doubtful: dict[str, str] = {}
        self.pids: set[str] = set()  # ids of tasks that return the pid of their worker
        self._queue = queue
        self._random = random.Random(seed)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._end.wait(self._random.expovariate(RATE)):
            number += 1
            self._send(f"soak {number}")
        current.close()

    def _send(self, key: str) -> None:
        dice = self._random.random()
        call, more = ("work", [self._random.uniform(0, 0.4)])
        if dice < 0.05:
            call, more = "fail", []
        elif dice < 0.07:
            call, more = "crash_once", []
        elif dice < 0.12:
            call, more = "bulky", [200_000]
        limit = ATTEMPTS if call == "fail" else 0
        task = build(
            f"chores.mixed.{call}",
            (key, *more),
            cluster=self._queue,
            max_attempts=limit,
        )
        if call in ("work", "crash_once"):
            self.pids.add(task.id)
        try:
            send([task])
        except BrokerError:  # whether it was stored is not known then
            self.doubtful[task.id] = key
        else:
            self.sent[task.id] = key


@pytest.mark.soak
@pytest.mark.fault("K2")
def test_nothing_is_lost_on_a_rough_day(
    results_on_postgres, own_redis_server, ledger, request, tmp_path
):
    option = request.config.getoption
    minutes = option("--minutes")
    seed = option("--seed") or random.randrange(10**6)
    print(f"\nsoak: {minutes:g} min, --seed {seed}", flush=True)
    place = results_on_postgres
    place.settings |= OPTIONS
    current.reset()
    schedule(
        "chores.mixed.work", "slot", 0.01, schedule_type="I", minutes=1,
        cluster=place.queue,
    )  # fmt: skip
    day = Day(place, own_redis_server, place.server, seed, OPTIONS)
    with Load(place.queue, seed) as load:
        while time.monotonic() < day.began + minutes * 60:
            day.step()
            time.sleep(0.05)
    rested = rest(day)
    for cluster in day.clusters:
        cluster.stop()
    history = history_of(day, load, ledger)
    folder = Path(option("--report") or tmp_path)
    text = report(day, load, history, seed, rested)
    print(text)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "soak.txt").write_text(text + "\n")
    (folder / "soak.svg").write_text(picture(day, f"soak, seed {seed}"))
    print(f"report: {folder}/soak.txt, {folder}/soak.svg")
    shutil.copy(ledger.path, folder / "ledger.txt")
    check_history(history)
    assert rested is not None, f"not all has come to its end in {REST:g} s"


def rest(day: Day) -> float | None:
    """Wait until all is mended, done and stored; return how long it took, seconds."""
    start = time.monotonic()
    while time.monotonic() < start + REST:
        day.step(calm=True)
        time.sleep(0.1)
        try:
            if day.is_whole and is_at_rest(day.place.queue):
                return time.monotonic() - start
        except (BrokerError, Error, AssertionError):
            # a server is being started, or a cluster has ended and will be
            connection.close()
    return None


def is_at_rest(queue: str) -> bool:
    """Let the schedule fire no more, and return whether anything is left to do."""
    Schedule.objects.filter(cluster=queue).update(paused=True)
    unsent = ScheduleSlot.objects.filter(queue=queue, sent=None).exists()
    broker = current.broker(queue)
    return not (unsent or broker.queue_size() or broker.lock_size())


def history_of(day: Day, load: Load, ledger) -> History:
    """Return what the judge needs; tasks of the schedule are judged by their slots."""
    connection.close()  # the server has been away
    queue = day.place.queue
    slots = list(ScheduleSlot.objects.filter(queue=queue))
    scheduled = {slot.task_id for slot in slots}
    rows = Task.objects.filter(cluster=queue).exclude(id__in=scheduled)
    finals = [
        Final(
            row.id, row.success, row.attempt_count, row.crashes,
            row.result if row.success and row.id in load.pids else None,
        )
        for row in rows
    ]  # fmt: skip
    stored = {final.id for final in finals}
    made = {id: key for id, key in load.doubtful.items() if id in stored}
    broker = current.broker(queue)
    return History(
        sent=load.sent | made,
        notes=[note for note in notes_in(ledger) if note.key != "slot"],
        finals=finals,
        faults=day.faults,
        slots=[(slot.schedule_id, slot.slot) for slot in slots],
        waiting=broker.queue_size(),
        claimed=broker.lock_size(),
        survivors=[p for cluster in day.place.started for p in cluster.survivors()],
        max_crashes=CRASHES,
    )


def report(
    day: Day, load: Load, history: History, seed: int, rested: float | None
) -> str:
    runs = runs_of(history.notes)
    stored = Counter(final.id for final in history.finals)
    twice = [k for k, some in runs.items() if sum(r.how == "ended" for r in some) > 1]
    rescues = sorted(rescue_times(runs.values(), day.faults))
    faults = ", ".join(f"{name} {count}" for name, count in sorted(day.counts.items()))
    lines = [
        f"seed {seed}, {day.samples[-1][0]:.0f} s",
        f"tasks     {len(load.sent)} sent, {len(load.doubtful)} refused or in doubt",
        f"runs      {sum(note.event == BEGAN for note in history.notes)}",
        f"faults    {faults}",
        f"lost      {sum(not stored[id] for id in load.sent)}",
        f"done twice {len(twice)}, each time after a fault",
        f"rescues   {len(rescues)}: {quantiles(rescues)}",
        f"at rest   {'never' if rested is None else f'{rested:.1f} s'} after the last",
    ]
    for name, points in lines_of(day, 2).items():
        values = [value for _, value in points]
        lines.append(
            f"{name}: {values[0]:,.0f} kB first, {max(values):,.0f} most,"
            f" {values[-1]:,.0f} last; descriptors"
            f" {max(value for _, value in lines_of(day, 3)[name]):.0f} at most"
        )
    return "\n".join(lines)


def rescue_times(some_runs, faults):
    """Yield the seconds from a fault that ended a run to the beginning of the next."""
    for some in some_runs:
        for first, second in itertools.pairwise(some):
            if first.ended is None:
                ends = [fault.began for fault in faults if fault.ended >= first.began]
                yield second.began - max(first.began, min(ends, default=first.began))


def quantiles(values: list[float]) -> str:
    if not values:
        return "none"
    p50, p99 = (values[int(len(values) * part)] for part in (0.5, 0.99))
    return f"p50 {p50:.2f} s, p99 {p99:.2f} s, longest {values[-1]:.2f} s"


def lines_of(day: Day, column: int) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {}
    for sample in day.samples:
        found.setdefault(sample[1], []).append((sample[0], sample[column]))
    return dict(sorted(found.items()))


def picture(day: Day, title: str) -> str:
    panels = {
        "resident memory, kB": lines_of(day, 2),
        "open descriptors": lines_of(day, 3),
    }
    return draw(title, panels, day.told)
