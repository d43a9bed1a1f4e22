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
from collections import defaultdict
from pathlib import Path

import pytest
from chores.mixed import KILLER
from django.db import Error, connection
from django.test import override_settings
from faults.evidence import notes_in
from faults.judge import Fault, Final, History, Note, check_history
from faults.load import Load
from faults.malformed import Malformed
from faults.poison import REDIS, refusing
from faults.recovery import Recovery, signs
from faults.rough_day import EFFECT, HEARD, Day
from faults.soak_report import growth, picture, report
from servers.redis import RedisServer
from shared_fixtures import run_server

from qcore.errors import BrokerError
from qcore.models import OutboxRow, Schedule, ScheduleSlot, Task, Ticket
from qcore.runtime import current
from qcore.tasks import fetch, schedule
from qcore.testing.speed import Patience, stretched

#: Seconds, of a calm machine, that everything has to come to its end once the harm has
#: stopped; and those, beside the length of a lease, in which something has to happen
#: until then.
REST, STANDSTILL = 240.0, 60.0
#: Seconds that a lease has at most, on a machine however slow.
LONGEST = 30.0
#: How much memory sentinel and dispatcher may need more at the end, kB, and after
#: which part of the time their caches and pools have been filled.
GROWTH, WARM = 2048, 0.25

#: On a machine that is so many times slower than a calm one, a start is no surprise.
SLOW = 3
#: Innocents are hit by faults, too, and a task that kills its cluster does it so often.
CRASHES = 6
#: Minutes for each task that kills every cluster; a soak of two minutes has none.
KILLER_EVERY = 10
OPTIONS: dict[str, object] = {
    "save_limit": 0, "max_crashes": CRASHES, "shutdown_grace": 1, "timeout": 30,
}  # fmt: skip


@pytest.fixture
def cache_server():
    """A Redis for status and cached results; it keeps them when it is killed."""
    yield from run_server("redis", lambda: RedisServer(*REDIS, appendonly=True))


@pytest.fixture
def day(results_on_postgres, own_redis_server, cache_server, ledger, request):
    """Two clusters, and a schedule beside their load."""
    place, broker = results_on_postgres, own_redis_server
    place.settings |= OPTIONS
    redis_cache = "django.core.cache.backends.redis.RedisCache"
    caches = {"default": {"BACKEND": redis_cache, "LOCATION": cache_server.url()}}
    place.django["CACHES"] = caches
    with override_settings(CACHES=caches), refusing():
        current.reset()
        schedule(
            "chores.mixed.work", "slot", 0.01, schedule_type="I", minutes=1,
            cluster=place.queue,
        )  # fmt: skip
        seed = request.config.getoption("--seed")
        if seed is None:
            seed = random.randrange(10**6)
        malformed = Malformed(place.queue, broker.port)
        recovery = Recovery(signs(ledger.path, cache_server.port))
        servers = (broker, place.server, cache_server)
        # A lease that ends because all processes of a busy machine wait is no fault that
        # the judge knows of. Four times: other tests may begin only now.
        lease = min(stretched(8.0), LONGEST)
        yield Day(place, *servers, malformed, recovery, seed, lease, OPTIONS)


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
    load = Load(
        day.place.queue,
        day.seed,
        day.place.django["DATABASES"]["default"],
        lease=day.lease,
        killers=0 if calm else int(minutes // KILLER_EVERY),
        seconds=minutes * 60,
        calm=calm,
    )
    with load:
        while time.monotonic() < day.began + minutes * 60:
            day.step(calm=calm)
            time.sleep(0.05)
    rested = rest(day, ledger)
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
    assert rested is not None, "not all has come to its end"


def rest(day: Day, ledger) -> float | None:
    """Wait until all is mended, done and stored; return how long it took, seconds."""
    # what a killed cluster had comes again after its lease, and nothing need happen before
    standstill = STANDSTILL + day.lease
    whole, still, size = Patience(REST), Patience(standstill), 0
    while not (whole.is_over() or still.is_over()):
        day.step(calm=True)
        if (now := ledger.path.stat().st_size) != size:
            still, size = Patience(standstill), now
        time.sleep(0.1)
        try:
            if day.is_whole and is_at_rest(day.place.queue):
                return whole.spent
        except (BrokerError, Error, AssertionError):
            # a server is being started, or a cluster has ended and will be
            connection.close()
    return None


def is_at_rest(queue: str) -> bool:
    """Let the schedule fire no more, and return whether anything is left to do."""
    Schedule.objects.filter(cluster=queue).update(paused=True)
    unsent = ScheduleSlot.objects.filter(queue=queue, sent=None).exists()
    unsent = unsent or OutboxRow.objects.filter(queue=queue).exists()
    broker = current.broker(queue)
    return not (unsent or broker.queue_size() or broker.lock_size())


def history_of(day: Day, load: Load, ledger) -> History:
    """Return what the judge needs; tasks of the schedule are judged by their slots."""
    connection.close()  # the server has been away
    queue = day.place.queue
    slots = list(ScheduleSlot.objects.filter(queue=queue))
    finals = finals_of(load, queue, {slot.task_id for slot in slots})
    tell(load, day)
    stored = {final.id for final in finals}
    made = {id: key for id, key in load.doubtful.items() if id in stored}
    sent = load.sent | made
    broker = current.broker(queue)
    notes = notes_in(ledger)
    killings = [note for note in notes if note.key == KILLER]
    effect = stretched(EFFECT)
    moments = defaultdict(list)
    for note in killings:
        moments[note.event.partition(": ")[0]].append(note.at)
    return History(
        sent=sent,
        notes=[note for note in notes if note.key not in ("slot", KILLER)],
        finals=finals,
        ends={id: load.of(id).end for id in sent},
        faults=[*day.faults, *(killing(note, effect) for note in killings)],
        killings=moments,
        slots=[(slot.schedule_id, slot.slot) for slot in slots],
        waiting=broker.queue_size() + OutboxRow.objects.filter(queue=queue).count(),
        claimed=broker.lock_size(),
        survivors=[p for cluster in day.place.started for p in cluster.survivors()],
        max_crashes=CRASHES,
        malformed=day.malformed.put,
        quarantined=day.malformed.found(),
        asked=load.asked,
    )


def tell(load: Load, day: Day) -> None:
    """Complete what the judge is told of what was asked."""
    asked, keys = load.asked, load.sent | load.doubtful
    asked.pauses += day.pauses
    asked.patience = max(day.patience, stretched(HEARD))
    asked.is_slow = asked.patience > SLOW * HEARD
    begun = time.time() - time.monotonic()
    for id, stopped in Task.objects.filter(id__in=keys).values_list("id", "stopped"):
        asked.ended[keys[id]] = stopped.timestamp() - begun
    sent_again = Ticket.objects.filter(task_id__in=keys, gen__gt=0)
    for id, final in sent_again.values_list("task_id", "final"):
        asked.tickets[keys[id]] = final


def finals_of(load: Load, queue: str, scheduled: set[str]) -> list[Final]:
    """Return what both stores have in the end of everything that may have been sent."""
    rows = list(Task.objects.filter(cluster=queue).exclude(id__in=scheduled))
    cached = [id for id in load.kinds if load.is_cached(id)]
    rows += [row for id in cached if (row := fetch(id, cached=True)) is not None]
    return [
        Final(
            row.id, row.success, row.attempt_count, row.crashes,
            row.result if row.success and tells_pid(load, row.id) else None,
            row.outcome, "" if row.success else str(row.result),
        )
        for row in rows
    ]  # fmt: skip


def tells_pid(load: Load, id: str) -> bool:
    return id in load.kinds and load.of(id).tells_pid


def killing(note: Note, effect: float) -> Fault:
    """Return the fault that a task is which kills its cluster; it has so many seconds."""
    pids = frozenset(map(int, note.event.partition(": ")[2].split()))
    return Fault(note.at, note.at + effect, "cluster, by a task", pids)
