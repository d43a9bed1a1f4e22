"""A project in which everything that a page can show is there, and its users."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from support.staff import permit

from qcore import status
from qcore.brokers.memory import MemoryBroker
from qcore.envelope import Outcome, Task, new_id
from qcore.ledger import place
from qcore.models import OutboxRow, Schedule, ScheduleSlot
from qcore.results.orm import OrmStore
from qcore.runtime import current
from qcore.status import Progress, Snapshot, WorkerStatus
from qcore.tasks import pause
from qcore.testing.contracts.samples import MakeResult, result_maker
from qcore_dashboard.models import Minute

if TYPE_CHECKING:
    from django.test import Client

#: Markup that may never reach a page as it is.
EVIL = "<img src=x onerror=alert(1)>'\"{{7*7}}"
SECRET = "canary"


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let no test find what the one before has made."""
    monkeypatch.setattr(MemoryBroker, "_queues", {})
    monkeypatch.setattr(MemoryBroker, "_stats", {})
    place.forget()
    yield
    current.reset()
    place.forget()


@pytest.fixture
def make() -> MakeResult:
    return result_maker()


@dataclass
class World:
    """The ids of what ``world`` has stored."""

    succeeded: str
    failed: str
    dead: str
    running: str
    scheduled: str
    parked: str
    schedule: int
    declared: int


def snapshot(**changes: object) -> Snapshot:
    now = time.time()
    given = {
        "cluster": new_id(),
        "name": "tests",
        "queue": "tests",
        "host": "box",
        "version": "2.0.0",
        "broker": "SQLite",
        "state": "running",
        "sentinel_pid": 1,
        "dispatcher_pid": 2,
        "started": now - 3600,
        "at": now,
        "workers": [],
    }
    return Snapshot(**{**given, **changes})


def worker(index: int = 1, **changes: object) -> WorkerStatus:
    given = {"index": index, "pid": 100 + index, "state": "idle", "rss": 50_000}
    return WorkerStatus(**{**given, **changes})


def write_later(due: float | None, **changes: object) -> str:
    """Write a task into the outbox; return its id."""
    given = {
        "id": new_id(),
        "name": "later",
        "func": "shop.tasks.later",
        "queue": "tests",
        "created": time.time(),
        "content": "json",
        "body": b"[[],{}]",
    }
    task = Task(**{**given, **changes})
    OutboxRow.objects.create(
        due=due, queue=task.queue, task_id=task.id, package=current.signer.sign(task)
    )
    return task.id


@pytest.fixture
def later() -> Callable[..., str]:
    return write_later


@pytest.fixture
def world(db, make) -> World:
    """One of everything, with markup and secrets in each text."""
    func = f"shop.tasks.{EVIL}"
    names = {"name": EVIL, "func": func, "group": EVIL, "hook": EVIL, "queue": "tests"}
    body = msgspec.json.encode(
        [[EVIL, f"redis://u:{SECRET}@h"], {"api_key": SECRET, "plain": "pl41n"}]
    )
    store = OrmStore(current.conf)
    good = make({"sum": EVIL, "token": SECRET}, body=body, **names)
    error = f"ValueError: {EVIL} redis://u:{SECRET}@h/0\nTraceback: {EVIL}"
    bad = make(
        outcome=Outcome.FAILURE,
        error=error,
        body=body,
        **names,
    )
    bad = msgspec.structs.replace(bad, final=False)
    dead = make(
        outcome=Outcome.FAILURE,
        error=error,
        body=body,
        **names,
    )
    store.save([good, bad, dead])
    running = new_id()
    status.publish(
        snapshot(
            problem=f"{EVIL} redis://u:{SECRET}@h/0",
            host=EVIL,
            workers=[
                worker(
                    1,
                    state="busy",
                    task_id=running,
                    task_name=EVIL,
                    func=EVIL,
                    seconds=12.5,
                    progress=Progress(done=1, total=4, note=EVIL, at=time.time()),
                ),
                worker(2),
            ],
        )
    )
    now = timezone.now()
    schedule = Schedule.objects.create(
        name=EVIL, func=EVIL, cron="*/5 * * * *", error=f"{EVIL} x://u:{SECRET}@h"
    )
    declared = Schedule.objects.create(
        name="declared", func="math.sqrt", args="[4]", schedule_type="D", declared=True
    )
    for number in range(12):
        ScheduleSlot.objects.create(
            schedule=schedule,
            slot=now - dt.timedelta(minutes=5 * number),
            task_id=good.task.id if not number else new_id(),
            queue="tests",
            package=b"",
            sent=now,
        )
    minute = int(time.time() // 60)
    for number in range(1, 30, 2):
        Minute.objects.create(
            minute=minute - number,
            queue="tests",
            succeeded=number,
            failed=1,
            run_seconds=number * 0.2,
            begun=number,
            wait_seconds=number * 0.1,
        )
    pause("other", reason=f"{EVIL} x://u:{SECRET}@h", by=EVIL)
    return World(
        succeeded=good.task.id,
        failed=bad.task.id,
        dead=dead.task.id,
        running=running,
        scheduled=write_later(time.time() + 3600, name=EVIL, func=EVIL, group=EVIL),
        parked=write_later(None, name=EVIL, func=EVIL),
        schedule=schedule.pk,
        declared=declared.pk,
    )


@pytest.fixture
def staff(client: Client, db) -> Callable[..., Client]:
    """Log in somebody of the staff who has these permissions and no other."""

    def staff(*codes: str) -> Client:
        user, _ = User.objects.get_or_create(username="ann", is_staff=True)
        permit(user, *codes)
        client.force_login(user)
        return client

    return staff
