"""A dispatcher that is driven step by step; the test is its workers and its sentinel.

Loop, pusher, recorder and renewal are the real ones, wired by the real ``Dispatcher``.
They have no threads: each does one round when it is told to.
"""

from __future__ import annotations

import itertools
import signal
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from faults.judge import BEGAN, CRASHED, ENDED, FAILED, Note
from support.fake_services import FakeServices

from qcore.engine.dispatcher.handover import Handover
from qcore.engine.dispatcher.job import Job
from qcore.engine.dispatcher.process import Dispatcher
from qcore.engine.dispatcher.pusher import Pusher
from qcore.engine.dispatcher.renewal import LeaseRenewal
from qcore.engine.wire.channel import Channel, ChannelClosed
from qcore.engine.wire.messages import (
    END,
    READY,
    RUN,
    SOFT_CANCEL,
    SOFT_STOP,
    Kill,
    Order,
    Reply,
    Stop,
    WorkerExited,
    WorkerStarted,
    pack_control,
    pack_reply,
    unpack_control,
    unpack_order,
)
from qcore.engine.wire.prefetch import make_pair
from qcore.envelope import Attempt, Outcome, Task
from qcore.errors import QcoreError
from qcore.results.memory import MemoryStore

if TYPE_CHECKING:
    from support.stopped_clock import StoppedClock

_pids = itertools.count(100_001)


class Worker:
    """The other end of a worker's channel: it does what it is told, when it is told."""

    def __init__(
        self, end: socket.socket, prefetch: socket.socket | None, index: int
    ) -> None:
        self.pid = next(_pids)
        self.index = index
        self.channel = Channel(end)
        self.prefetch = prefetch
        if prefetch is not None:
            prefetch.setblocking(False)
        self.orders: deque[Order] = deque()
        self.current: Order | None = None
        self.told_to_stop = False
        self.paused = False  # by SIGSTOP: it reads nothing and answers nothing
        self.cut = False  # its task has closed the channel
        self.seen: bytes | None = (
            None  # from the prefetch queue; the channel was not looked at since
        )
        self.channel.send(pack_reply(READY))

    def read(self) -> None:
        """Take the next order, where one has come: from the channel, else from the prefetch queue."""
        self.orders.extend(map(unpack_order, self.channel.receive()))
        if self.seen is None and not self.orders:
            self.glimpse()
        if self.seen is not None:
            seen, self.seen = self.seen, None
            if not self.orders:
                self.orders.append(unpack_order(seen))
            elif self.prefetch is not None:
                self.prefetch.send(seen)

    def glimpse(self) -> None:
        """Take a packet from the prefetch queue, and be interrupted before the channel is looked at."""
        if self.prefetch is None or self.seen is not None:
            return
        try:
            self.seen = self.prefetch.recv(1 << 16) or None
        except OSError:  # there is none, or the queue is closed
            return

    def close(self) -> None:
        """Leave the loop alone."""
        self.channel.close()
        if self.prefetch is not None:
            self.prefetch.close()


class Stepped:
    """One dispatcher with its workers.

    Args:
        queue: shared with other dispatchers of the test.
        clock: stopped, see ``stop_time``.
        note: is told what tasks do.
        settings: of the cluster.
    """

    def __init__(
        self,
        queue: str,
        clock: StoppedClock,
        note: Callable[[Note], None],
        **settings: Any,
    ) -> None:
        self.clock = clock
        self.fakes = FakeServices(queue, **settings)
        self._note = note
        ours, theirs = socket.socketpair()
        self.control = Channel(theirs)
        self.dispatcher = Dispatcher(
            self.fakes.services, Channel(ours), cluster="c" * 32, started=clock.at
        )
        self.loop = self.dispatcher._loop
        self.shared = self.dispatcher._shared
        self.shared.renewing = True
        self.recorder = self.dispatcher._recorder
        self._watch_recorder()
        # as if tasks were short: the next orders are laid out for workers that are busy
        self.loop._throughput.depth = lambda _workers: 2  # type: ignore[method-assign]
        self.pusher = Pusher(
            self.fakes.services,
            self.dispatcher._capacity,
            self.shared,
            Handover(self.shared, self.dispatcher._capacity, self),
            self.fakes.services.report,
        )
        self.renewal = LeaseRenewal(
            self.fakes.services, self.shared, self.dispatcher._leases
        )
        self.workers: list[Worker] = []
        self.stopping = False
        self.cancels: list[
            int
        ] = []  # workers that were told that their task is cancelled
        self.on_cancel: Callable[[Worker], None] | None = None  # None: they go on
        for index in range(self.fakes.conf.workers):
            self.hire(index)

    # -- what must be true between its threads -------------------------------------------
    def receive(self, jobs: Sequence[Job]) -> None:
        """Take what the pusher has claimed to the loop."""
        again = [job.task.id for job in jobs if job.attempt > 1]
        done = MemoryStore.finished(self.fakes.store, again)
        assert not done, f"P2: {done.keys()} are stored successes, and run again"
        self.loop.receive(jobs)

    def receive_finished(self, job: Job, end: Attempt) -> None:
        """Take what an earlier attempt has finished to the loop."""
        self.loop.receive_finished(job, end)

    def receive_dropped(self, job: Job) -> None:
        """Take what is only acknowledged to the loop."""
        self.loop.receive_dropped(job)

    def receive_ended(self, job: Job, end: Attempt) -> None:
        """Take what ends without a run to the loop."""
        self.loop.receive_ended(job, end)

    def _watch_recorder(self) -> None:
        record = self.recorder.record

        def watched(job: Job) -> None:
            ours = not job.lost and job.lease_end > self.clock.at
            assert ours, f"P2: the end of {job.task.id} is recorded after its lease"
            record(job)

        self.recorder.record = watched  # type: ignore[method-assign]

    def _look_for_lost_leases(self) -> None:
        """Nothing runs without a lease, once the loop has looked."""
        leases = {(j.task.id, j.attempt): j.lease_end for j in self.shared.held}
        for worker in self.workers:
            if worker.paused or worker.told_to_stop or worker.current is None:
                continue
            if worker.current.kind == RUN:
                task, attempt = self.task_of(worker.current), worker.current.attempt
                end = leases.get((task.id, attempt), self.clock.at)
                assert end > self.clock.at, f"P2: {task.id} runs without a lease"

    # -- its threads -------------------------------------------------------------------
    def push(self) -> None:
        """Claim once."""
        if not self.shared.stopping.is_set():
            self._try(self.pusher._once)

    def turn(self) -> None:
        """Let the loop go round, and do what it asks of the sentinel."""
        self.loop.round()
        for message in map(unpack_control, self._heard()):
            if isinstance(message, Kill):
                self._obey(message)
        self._look_for_lost_leases()

    def record(self) -> None:
        """Record all that waits to be recorded."""
        self.recorder.close()
        self.recorder._waiting.is_closed = False
        self.recorder.run()

    def keep(self) -> None:
        """Renew leases."""
        self._try(self.renewal._renew)

    def _try(self, call: Callable[[Any], None]) -> None:
        try:
            call(self.fakes.broker)
        except QcoreError:
            return  # as its thread does, which waits and tries again

    def _heard(self) -> list[bytes]:
        return self.control.receive()

    # -- the sentinel --------------------------------------------------------------------
    def hire(self, index: int) -> None:
        """Start a worker."""
        ours, theirs = socket.socketpair()
        prefetch = make_pair()
        worker = Worker(theirs, prefetch[1] if prefetch else None, index)
        fds = [ours.fileno(), *(end.fileno() for end in prefetch)]
        self.control.send(pack_control(WorkerStarted(worker.pid, index, len(fds))), fds)
        for end in (ours, *prefetch[:1]):
            end.close()
        self.workers.append(worker)

    def stop(self, grace: float) -> None:
        """Tell it to stop."""
        self.stopping = True
        self.control.send(pack_control(Stop(grace)))

    def _obey(self, kill: Kill) -> None:
        for worker in self.workers:
            if worker.pid != kill.pid:
                continue
            if kill.signal == signal.SIGKILL:
                self._die(worker)
                self._record_death(worker, signal.SIGKILL, killed=True)
            elif kill.signal == SOFT_CANCEL:
                self.cancels.append(worker.pid)
                if self.on_cancel is not None:
                    self.on_cancel(worker)
            elif kill.signal == SOFT_STOP:
                # where it has not begun, or is paused, SIGKILL comes two seconds later;
                # it does not begin in these: it would have long ago, had it not stood
                # still. One that has ended its task goes on, to what is its last order.
                runs = worker.current is not None and not worker.paused
                worker.told_to_stop = not runs
                self.end(worker, Outcome.STOPPED)
            return

    @property
    def is_done(self) -> bool:
        """Whether it has stopped in order; what is left then is given back."""
        if not self.stopping or not self.loop.is_done():
            return False
        for job in self.dispatcher._ready.arrivals():
            self.recorder.give_back(job)
        self.record()
        return True

    def lose(self) -> None:
        """Kill it, and with it its workers."""
        for worker in self.workers:
            self._die(worker)
        self.workers.clear()
        for worker in self.loop.pool:
            self.loop.pool.remove(worker)
        self.control.close()
        self.loop._control.close()
        self.loop._selector.close()
        self.dispatcher._ready.close()

    # -- workers -----------------------------------------------------------------------
    def begin(self, worker: Worker) -> None:
        """Let a worker take its next order."""
        if worker.paused or worker.told_to_stop or worker.current is not None:
            return
        if worker.cut:
            self._leave(worker)
            return
        try:
            worker.read()
        except ChannelClosed:
            return  # it was dismissed; its death is under way
        if not worker.orders:
            return
        worker.current = worker.orders.popleft()
        if worker.current.kind == END:
            self._leave(worker)
        elif worker.current.kind == RUN:
            self._tell(worker, BEGAN)

    def end(self, worker: Worker, outcome: str, *, retires: bool = False) -> None:
        """Let a worker end what it does, and say so."""
        order = worker.current
        if order is None or worker.paused:
            return
        worker.current = None
        ended = None
        if order.kind == RUN:
            events = {Outcome.SUCCESS: ENDED, Outcome.STOPPED: CRASHED}
            # what it has done by then, nobody will hear where the channel is closed
            event = CRASHED if worker.cut else events.get(outcome, FAILED)
            self._tell(worker, event, order)
            content = "json" if outcome == Outcome.SUCCESS else "text"
            value = str(worker.pid).encode()
            ended = Attempt(outcome, value, content, self.clock.at, self.clock.at)
        reply = Reply(ended=ended, done=1, rss=1, retires=retires, order=order.number)
        if worker.cut:
            self._leave(worker)
            return
        try:
            worker.channel.send(pack_reply(reply))
        except ChannelClosed:
            return  # it was dismissed; its death is under way
        if retires:
            self._leave(worker)

    def glimpse(self, worker: Worker) -> None:
        """Let a worker that has nothing to do read its prefetch queue, and no further."""
        idle = worker.current is None and not worker.paused and not worker.told_to_stop
        if idle and not worker.orders and not worker.cut:
            worker.glimpse()

    def cut(self, worker: Worker) -> None:
        """Let the task of a worker close all descriptors, and go on."""
        if worker.current is not None and not worker.paused:
            worker.cut = True
            worker.close()

    def babble(self, worker: Worker, frame: bytes) -> None:
        """Let something in a worker's process write on its channel."""
        if not worker.cut:
            try:
                worker.channel.send(frame)
            except ChannelClosed:
                return

    def crash(self, worker: Worker) -> None:
        """Kill a worker; another one takes its place."""
        self._die(worker)
        self._record_death(worker, signal.SIGKILL)

    def task_of(self, order: Order) -> Task:
        """Return the task of an order."""
        return self.fakes.services.verify(order.package)

    def _leave(self, worker: Worker) -> None:
        worker.close()
        self._record_death(worker, 0)

    def _die(self, worker: Worker) -> None:
        if worker.current is not None and worker.current.kind == RUN:
            self._tell(worker, CRASHED)
        worker.current = None
        worker.close()

    def _record_death(
        self, worker: Worker, status: int, *, killed: bool = False
    ) -> None:
        self.workers.remove(worker)
        self.control.send(pack_control(WorkerExited(worker.pid, status, killed)))
        if not self.stopping:
            self.hire(worker.index)

    def _tell(self, worker: Worker, event: str, order: Order | None = None) -> None:
        order = order or worker.current
        assert order is not None
        self._note(Note(self.task_of(order).id, event, worker.pid, self.clock.at))
