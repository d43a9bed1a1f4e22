"""Everything at once, for minutes: a mixed load, faults at random, and the judge.

::

    python3 noxfile.py -s soak -- --minutes 20 --seed 7 --report soak
    python3 noxfile.py -s soak -- --minutes 20 --calm
"""

from __future__ import annotations

import random
import shutil
import statistics
import time
from pathlib import Path

import pytest
from django.db import Error, connection
from faults.evidence import notes_in
from faults.judge import Final, History, check_history
from faults.load import Load
from faults.rough_day import Day
from faults.soak_report import growth, picture, report

from qcore.current import current
from qcore.errors import BrokerError
from qcore.models import Schedule, ScheduleSlot, Task
from qcore.tasks import schedule

#: Seconds that everything has to come to its end once the harm has stopped.
REST = 90.0
#: How much memory sentinel and dispatcher may need more at the end, kB, and after
#: which part of the time their caches and pools have been filled.
GROWTH, WARM = 2048, 0.25

CRASHES = 20
OPTIONS: dict[str, object] = {
    "save_limit": 0, "max_crashes": CRASHES, "shutdown_grace": 1, "timeout": 30,
}  # fmt: skip


@pytest.fixture
def day(results_on_postgres, own_redis_server, request):
    """Two clusters, and a schedule beside their load."""
    place = results_on_postgres
    place.settings |= OPTIONS
    current.reset()
    schedule(
        "chores.mixed.work", "slot", 0.01, schedule_type="I", minutes=1,
        cluster=place.queue,
    )  # fmt: skip
    seed = request.config.getoption("--seed") or random.randrange(10**6)
    return Day(place, own_redis_server, place.server, seed, OPTIONS)


@pytest.mark.soak
@pytest.mark.fault("K2")
def test_nothing_is_lost_on_a_rough_day(day, ledger, request, tmp_path):
    if request.config.getoption("--calm"):
        pytest.skip("--calm asks for the other one")
    live(day, ledger, request.config.getoption, tmp_path)


@pytest.mark.soak
@pytest.mark.fault("K1")
def test_nothing_grows_on_a_calm_day(day, ledger, request, tmp_path):
    """Memory has its level after a quarter of the time, and descriptors too."""
    if not request.config.getoption("--calm"):
        pytest.skip("only with --calm")
    live(day, ledger, request.config.getoption, tmp_path)
    memory = growth(day, 2, WARM, max)
    # a sentinel holds more descriptors for the moment of a fork: what it keeps counts
    descriptors = growth(day, 3, WARM, statistics.median)
    assert {name: more for name, more in memory.items() if more > GROWTH} == {}
    assert {name: more for name, more in descriptors.items() if more > 2} == {}


def live(day: Day, ledger, option, folder: Path) -> None:
    """Live through a day, report of it and judge it."""
    minutes, calm = option("--minutes"), option("--calm")
    title = f"soak: {minutes:g} min, --seed {day.seed}{' --calm' * calm}"
    print(f"\n{title}", flush=True)
    with Load(day.place.queue, day.seed) as load:
        while time.monotonic() < day.began + minutes * 60:
            day.step(calm=calm)
            time.sleep(0.05)
    rested = rest(day)
    for cluster in day.clusters:
        cluster.stop()
    history = history_of(day, load, ledger)
    text = report(day, load, history, rested)
    print(text)
    folder = Path(option("--report") or folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "soak.txt").write_text(f"{title}\n{text}\n")
    (folder / "soak.svg").write_text(picture(day, title))
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
