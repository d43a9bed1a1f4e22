"""The contract of a scheduler, as tests that a plugin inherits.

Write one fixture and, where tasks go elsewhere or schedules can be spoilt, more::

    class TestMongoScheduler(SchedulerContract):
        @pytest.fixture
        def make_scheduler(self, server):  # called twice, both see the same schedules
            return lambda: MongoScheduler(Conf.from_dict({"mongo": server.options}))

        @pytest.fixture
        def sent(self):  # the tasks sent since it was called last, if not to the project's
            return lambda: [...]

        @pytest.fixture
        def spoil(self):  # makes a stored schedule one that cannot be fired
            return lambda schedule: ...

Every test asks for one promise, which is its docstring. Times are those of the clock.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from ...envelope import Task
from ...errors import BrokerError, EnqueueError, StoreError
from ...runtime import current
from ...schedules.base import Scheduler
from ..clock import StepClock
from ..outages import Outage
from ..speed import Patience, stretched
from .forking import in_child

MakeScheduler = Callable[[], Scheduler]
Sent = Callable[[], list[Task]]

FUNC = "math.sqrt"


def at(seconds: float) -> dt.datetime:
    """Return the time so many seconds from now."""
    return dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)


def taken() -> list[Task]:
    """Take all tasks out of the project's queue."""
    broker = current.broker()
    found = []
    while claimed := broker.dequeue(broker.max_batch):
        found += [current.signer.verify(one.package, broker.queue) for one in claimed]
        broker.acknowledge_many([one.receipt for one in claimed])
    return found


class SchedulerContract:
    """Everything that qcore relies on a scheduler for."""

    #: Whether two threads may each have a scheduler on the same schedules.
    crosses_threads: ClassVar[bool] = True
    #: Whether other processes can reach the service of these tests; True asks for forks.
    crosses_processes: ClassVar[bool] = False

    # -- fixtures --------------------------------------------------------------
    @pytest.fixture
    def make_scheduler(self) -> MakeScheduler:
        """Return a callable without arguments; what it returns begins empty."""
        raise NotImplementedError(
            f"{type(self).__name__} must define the fixture make_scheduler;"
            " see qcore.testing.contracts.schedulers"
        )

    @pytest.fixture
    def sent(self) -> Sent:
        """Return a callable that returns the tasks sent since it was called last.

        This one takes the tasks out of the project's own queue.
        """
        return taken

    @pytest.fixture
    def spoil(self) -> Callable[[Any], None]:
        """Return a callable that makes a stored schedule one that cannot be fired."""
        pytest.skip("the plugin's tests give no spoil")

    @pytest.fixture
    def outage(self) -> Outage | None:
        """Return a callable whose context takes the service away; None skips its test."""
        return None

    @pytest.fixture
    def step_clock(self) -> StepClock:
        """Return a callable that sets the clock of the scheduler forth or, below 0, back.

        ``qcore.testing.clock`` has one for a scheduler that reads the clock of Python.
        """
        pytest.skip("the plugin's tests give no step_clock")

    def after_fork(self) -> None:
        """Drop inherited connections; runs in a forked child before it uses the scheduler."""

    @pytest.fixture
    def scheduler(self, make_scheduler: MakeScheduler) -> Scheduler:
        """One scheduler."""
        return make_scheduler()

    # -- firing ------------------------------------------------------------------
    def test_nothing_is_due(self, scheduler: Scheduler, sent: Sent) -> None:
        """Without schedules nothing is sent, and ``tick`` says when to ask again."""
        assert 0 <= scheduler.tick() < 3600
        assert sent() == []

    def test_what_is_due_is_sent_once(self, scheduler: Scheduler, sent: Sent) -> None:
        """A slot is sent by the first ``tick`` after its time, and by no other."""
        scheduler.schedule(FUNC, (4,), next_run=at(-1))
        for _ in range(3):
            scheduler.tick()
        (task,) = sent()
        assert task.func == FUNC

    def test_nothing_is_sent_before_its_time(
        self, scheduler: Scheduler, sent: Sent
    ) -> None:
        """What is due later waits."""
        scheduler.schedule(FUNC, (4,), next_run=at(3600))
        scheduler.tick()
        assert sent() == []

    def test_the_next_tick_is_in_time(self, scheduler: Scheduler, sent: Sent) -> None:
        """Who ticks again after the seconds that ``tick`` returns is not late."""
        due = at(0.5)
        scheduler.schedule(FUNC, (4,), next_run=due)
        patience = Patience(5)
        while not (found := sent()):
            assert not patience.is_over(), "it was never sent"
            time.sleep(min(scheduler.tick(), 3))
        assert dt.datetime.now(dt.UTC) >= due
        late = (dt.datetime.now(dt.UTC) - due).total_seconds()
        assert late < 4 or late < stretched(4)
        assert len(found) == 1

    def test_it_comes_again(self, scheduler: Scheduler, sent: Sent) -> None:
        """A schedule of minutes has a next slot, which is in the future."""
        scheduler.schedule(
            FUNC, (4,), schedule_type="I", minutes=5, next_run=at(-1), repeats=-1
        )
        scheduler.tick()
        assert len(sent()) == 1
        scheduler.tick()
        assert sent() == []

    def test_missed_slots_are_caught_up(self, scheduler: Scheduler, sent: Sent) -> None:
        """With ``catch_up``, as it is by default, each missed slot is sent."""
        scheduler.schedule(
            FUNC, (4,), schedule_type="I", minutes=5, next_run=at(-11 * 60)
        )
        for _ in range(3):
            scheduler.tick()
        tasks = sent()
        assert len(tasks) == 3
        assert len({task.slot for task in tasks}) == 3

    def test_repeats_are_counted(self, scheduler: Scheduler, sent: Sent) -> None:
        """A schedule with two repeats is sent twice, however many slots are due."""
        scheduler.schedule(
            FUNC, (4,), schedule_type="I", minutes=1, repeats=2, next_run=at(-600)
        )
        for _ in range(3):
            scheduler.tick()
        assert len(sent()) == 2

    def test_an_interval_needs_no_type(self, scheduler: Scheduler, sent: Sent) -> None:
        """``minutes`` without a ``schedule_type`` comes again, and is not sent once."""
        scheduler.schedule(FUNC, (4,), minutes=5, next_run=at(-6 * 60))
        for _ in range(3):
            scheduler.tick()
        assert len(sent()) == 2

    def test_a_clock_that_is_set_sends_no_slot_twice(
        self, scheduler: Scheduler, sent: Sent, step_clock: StepClock
    ) -> None:
        """A slot that was sent stays sent when its time comes again."""
        scheduler.schedule(
            FUNC, (4,), schedule_type="I", minutes=5, next_run=at(-1), repeats=-1
        )
        scheduler.tick()
        (first,) = sent()
        step_clock(-600)
        for _ in range(3):
            scheduler.tick()
        assert sent() == []
        step_clock(600 + 300)  # of two slots the first is sent already
        for _ in range(3):
            scheduler.tick()
        (second,) = sent()
        assert (second.slot or 0) - (first.slot or 0) == pytest.approx(300)

    # -- once ----------------------------------------------------------------------
    def test_two_clusters_send_it_once(
        self, make_scheduler: MakeScheduler, sent: Sent
    ) -> None:
        """A second scheduler on the same schedules finds nothing left to do."""
        first, second = make_scheduler(), make_scheduler()
        for number in range(5):
            first.schedule(FUNC, (number,), next_run=at(-1))
        for scheduler in (first, second, first):
            scheduler.tick()
        assert len(sent()) == 5

    def test_clusters_race(self, make_scheduler: MakeScheduler, sent: Sent) -> None:
        """Three threads that tick at the same moment send each slot once."""
        if not self.crosses_threads:
            pytest.skip("its schedules belong to one thread")
        scheduler = make_scheduler()
        for number in range(20):
            scheduler.schedule(FUNC, (number,), next_run=at(-1))
        start = threading.Barrier(3)

        def work() -> None:
            mine = make_scheduler()
            start.wait()
            for _ in range(3):
                mine.tick()
            mine.close()

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        tasks = sent()
        assert len(tasks) == len({task.id for task in tasks}) == 20

    # -- what is wrong ---------------------------------------------------------------
    def test_one_that_cannot_be_fired_stops_nobody(
        self, scheduler: Scheduler, sent: Sent, spoil: Callable[[Any], None]
    ) -> None:
        """The schedules after a bad one are sent."""
        bad = scheduler.schedule(FUNC, (1,), next_run=at(-20))
        scheduler.schedule(FUNC, (2,), next_run=at(-10))
        spoil(bad)
        scheduler.tick()
        assert len(sent()) == 1

    @pytest.mark.parametrize(
        "options",
        [
            {"schedule_type": "X"},
            {"schedule_type": "I"},
            {"hook": "nodots"},
            {"cluster": "a\0b"},
            {"cluster": "q" * 300},
        ],
        ids=["type", "minutes", "hook", "NUL in a name", "long name"],
    )
    def test_what_could_not_run_is_refused(
        self, scheduler: Scheduler, sent: Sent, options: dict[str, Any]
    ) -> None:
        """A wrong option is an error at the call, and nothing is stored."""
        with pytest.raises(EnqueueError):
            scheduler.schedule(FUNC, (4,), **options)
        scheduler.tick()
        assert sent() == []

    def test_what_is_prepared_ticks_as_ever(
        self, make_scheduler: MakeScheduler, sent: Sent
    ) -> None:
        """Another scheduler of the process, made later, is the one that ticks."""
        make_scheduler().prepare()
        scheduler = make_scheduler()
        scheduler.schedule(FUNC, (4,), schedule_type="O", next_run=at(-1))
        scheduler.tick()
        assert len(sent()) == 1

    def test_a_scheduler_works_again_after_an_outage(
        self, scheduler: Scheduler, sent: Sent, outage: Outage | None
    ) -> None:
        """Meanwhile there are errors of qcore; then what is due is sent, once."""
        if outage is None:
            pytest.skip("what it is tested on is never away")
        scheduler.schedule(FUNC, (4,), next_run=at(-1))
        with outage():
            for _ in range(2):
                with pytest.raises((StoreError, BrokerError)):
                    scheduler.tick()
                with pytest.raises(StoreError):
                    scheduler.schedule(FUNC, (5,), next_run=at(-1))
            scheduler.close()  # that is no error where nothing is open
        assert sent() == []
        for _ in range(3):
            scheduler.tick()
        assert len(sent()) == 1

    def test_schedules_are_counted_or_counting_refused(
        self, scheduler: Scheduler, sent: Sent
    ) -> None:
        """``count`` knows every schedule; without ``supports_counts`` it is an error."""
        if not scheduler.supports_counts:
            with pytest.raises(StoreError):
                scheduler.count()
            return
        assert scheduler.count() == 0
        for number in range(3):
            scheduler.schedule(FUNC, (number,), next_run=at(3600))
        assert scheduler.count() == 3

    def test_a_closed_scheduler_works_on_both_sides_of_a_fork(
        self, scheduler: Scheduler, sent: Sent
    ) -> None:
        """A child and its parent each connect anew, and send what they have scheduled."""
        if not self.crosses_processes:
            pytest.skip("what it is tested on belongs to one process")
        scheduler.schedule(FUNC, (1,), next_run=at(-1))
        scheduler.tick()
        assert len(sent()) == 1
        scheduler.close()

        def work() -> None:
            self.after_fork()
            for number in range(5):
                scheduler.schedule(FUNC, (number,), next_run=at(-1))
                scheduler.tick()
                assert len(sent()) == 1
            scheduler.close()

        assert in_child(work) == 0, "the child failed; see its traceback above"
        scheduler.schedule(FUNC, (2,), next_run=at(-1))
        for _ in range(3):
            scheduler.tick()
        assert len(sent()) == 1
        scheduler.close()

    def test_close_twice(self, scheduler: Scheduler, sent: Sent) -> None:
        """``close`` may be called again, and the next call connects anew."""
        scheduler.schedule(FUNC, (4,), next_run=at(-1))
        scheduler.close()
        scheduler.close()
        scheduler.tick()
        assert len(sent()) == 1
