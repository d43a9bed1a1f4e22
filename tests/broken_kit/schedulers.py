"""Schedulers that break a promise."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from broken_kit.common import (
    KeepsItsConnection,
    LosesItsConnection,
    Outages,
    Service,
    cases,
)

from qcore.conf import Conf
from qcore.conf.names import queue_fault
from qcore.envelope import Task, new_id
from qcore.errors import EnqueueError
from qcore.schedules.base import Scheduler
from qcore.testing import SchedulerContract
from qcore.testing.clock import StepClock, stepped_clock


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Sound(Service, Scheduler):
    """A list of this process: once, or every so many minutes. No fault."""

    caught_by: ClassVar[str] = ""
    rows: ClassVar[list[dict[str, Any]]] = []
    sent: ClassVar[list[Task]] = []
    lock: ClassVar = threading.RLock()
    supports_counts = True

    def schedule(
        self, func: Callable[..., Any] | str, args: tuple[Any, ...], **options: Any
    ) -> Any:
        self.check()
        minutes = options.get("minutes")
        kind = options.get("schedule_type", "I" if minutes else "O")
        if queue_fault(options.get("cluster", "q")):
            raise EnqueueError("cluster")
        if kind not in ("O", "I") or (kind == "I" and not minutes):
            raise EnqueueError("schedule_type")
        if "." not in options.get("hook", "a.b"):
            raise EnqueueError("hook")
        row = {"func": func, "minutes": minutes, "bad": False, "left": -1}
        row["at"] = options.get("next_run") or now()
        row["left"] = options.get("repeats", -1) if minutes else 1
        self.rows.append(row)
        return row

    def count(self) -> int:
        return len(self.rows)

    def tick(self) -> float:
        self.check()
        with self.lock:
            for row in self.rows:
                self.fire(row)
        return 0.2

    def fire(self, row: dict[str, Any]) -> None:
        while row["at"] <= now() and row["left"] and not row["bad"]:
            self.send(row)
            row["left"] -= 1
            row["at"] += dt.timedelta(minutes=row["minutes"] or 0)

    def send(self, row: dict[str, Any]) -> None:
        self.sent.append(Task(id=new_id(), name="n", func=row["func"], queue="q",
                              created=time.time(), content="json", body=b"",
                              slot=row["at"].timestamp()))  # fmt: skip


class NeedsASchedule(Sound):
    caught_by = "test_nothing_is_due"

    def tick(self) -> float:
        super().tick()
        return min((row["at"] - now()).total_seconds() for row in self.rows)


class ForgetsThatItHasSent(Sound):
    caught_by = "test_what_is_due_is_sent_once"

    def fire(self, row: dict[str, Any]) -> None:
        if row["at"] <= now():
            self.send(row)


class IsEarly(Sound):
    caught_by = "test_nothing_is_sent_before_its_time"

    def fire(self, row: dict[str, Any]) -> None:
        super().fire(row | {"at": now()})


class SleepsTooLong(Sound):
    caught_by = "test_the_next_tick_is_in_time"

    def tick(self) -> float:
        super().tick()
        return 30


class KeepsItsTime(Sound):
    caught_by = "test_it_comes_again"

    def fire(self, row: dict[str, Any]) -> None:
        if row["at"] <= now() and row["left"]:
            self.send(row)
            row["left"] -= 1


class SkipsWhatWasMissed(Sound):
    caught_by = "test_missed_slots_are_caught_up"

    def fire(self, row: dict[str, Any]) -> None:
        if row["minutes"] and now() - row["at"] > dt.timedelta(minutes=row["minutes"]):
            row["at"] = now()
        super().fire(row)


class IgnoresRepeats(Sound):
    caught_by = "test_repeats_are_counted"

    def schedule(
        self, func: Callable[..., Any] | str, args: tuple[Any, ...], **options: Any
    ) -> Any:
        return super().schedule(func, args, **options | {"repeats": -1})


class TakesAnIntervalForOnce(Sound):
    caught_by = "test_an_interval_needs_no_type"

    def schedule(
        self, func: Callable[..., Any] | str, args: tuple[Any, ...], **options: Any
    ) -> Any:
        if "schedule_type" not in options:
            options.pop("minutes", None)
        return super().schedule(func, args, **options)


class HasItsOwnMemory(Sound):
    caught_by = "test_two_clusters_send_it_once"

    def __init__(self, conf: Conf) -> None:
        super().__init__(conf)
        self.done: set[int] = set()

    def fire(self, row: dict[str, Any]) -> None:
        if row["at"] <= now() and id(row) not in self.done:
            self.done.add(id(row))
            self.send(row)


class LooksThenSends(Sound):
    caught_by = "test_clusters_race"

    def tick(self) -> float:
        due = [row for row in self.rows if row["at"] <= now() and row["left"]]
        time.sleep(0.02)
        for row in due:
            self.send(row)
            row["left"] -= 1
        return 0.2


class StopsAtABadOne(Sound):
    caught_by = "test_one_that_cannot_be_fired_stops_nobody"

    def tick(self) -> float:
        for row in self.rows:
            if row["bad"]:
                break
            self.fire(row)
        return 0.2


class TakesAnything(Sound):
    caught_by = "test_what_could_not_run_is_refused"

    def schedule(
        self, func: Callable[..., Any] | str, args: tuple[Any, ...], **options: Any
    ) -> Any:
        return super().schedule(func, args, next_run=options.get("next_run"))


class TicksWhenPrepared(Sound):
    caught_by = "test_what_is_prepared_ticks_as_ever"
    prepared: ClassVar[dict[str, Any]] = {}

    def prepare(self) -> None:
        self.prepared["rows"] = list(self.rows)

    def tick(self) -> float:
        for row in self.prepared.pop("rows", self.rows):
            self.fire(row)
        return 0.2


class BeginsAnewWhenTheClockGoesBack(Sound):
    caught_by = "test_a_clock_that_is_set_sends_no_slot_twice"

    def __init__(self, conf: Conf) -> None:
        super().__init__(conf)
        self.ticked = now()

    def tick(self) -> float:
        if now() < self.ticked:
            for row in self.rows:
                row["at"] = now()
        self.ticked = now()
        return super().tick()


class BelongsToItsParent(KeepsItsConnection, Sound):
    caught_by = "test_a_closed_scheduler_works_on_both_sides_of_a_fork"


class NeverConnectsAgain(LosesItsConnection, Sound):
    caught_by = "test_a_scheduler_works_again_after_an_outage"


class CountsWhatIsDue(Sound):
    caught_by = "test_schedules_are_counted_or_counting_refused"

    def count(self) -> int:
        return sum(row["at"] <= now() for row in self.rows)


class ForgetsWhenClosed(Sound):
    caught_by = "test_close_twice"

    def close(self) -> None:
        self.rows.clear()


class Case(Outages, SchedulerContract):
    kind: ClassVar[type[Sound]]
    crosses_processes = True

    @pytest.fixture
    def step_clock(self) -> Iterator[StepClock]:
        with stepped_clock() as step:
            yield step

    @pytest.fixture
    def make_scheduler(self) -> Iterator[Callable[[], Scheduler]]:
        yield lambda: self.kind(Conf.from_dict({}))
        Sound.rows.clear()
        Sound.sent.clear()

    @pytest.fixture
    def sent(self) -> Callable[[], list[Task]]:
        def sent() -> list[Task]:
            found = [*Sound.sent]
            Sound.sent.clear()
            return found

        return sent

    @pytest.fixture
    def spoil(self) -> Callable[[dict[str, Any]], None]:
        return lambda row: row.update(bad=True)


globals().update(cases(globals(), Sound, Case))
