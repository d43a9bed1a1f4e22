"""The walk of a hundred tasks through one process: sender, dispatcher and worker by turns.

Pusher, loop, recorder, relay and worker are the real ones, and each does its next step when it
is told to. So a walk does the same work each time, whatever else the machine does: its
instructions, statements and transactions can be compared from one release to the next.
"""

from __future__ import annotations

import os
import socket
import time

#: Tasks that are sent, claimed and recorded together.
BATCH = 100
#: Claims of a walk at most: the nodes of a graph come after their parents.
_ROUNDS = 5


class Walk:
    """A cluster with one worker, in the project that is set up."""

    def __init__(self) -> None:
        from qcore.cluster.run import services
        from qcore.engine.dispatcher.process import Dispatcher
        from qcore.engine.dispatcher.pusher import Pusher
        from qcore.engine.wire.channel import Channel
        from qcore.engine.wire.messages import (
            READY,
            WorkerStarted,
            pack_control,
            pack_reply,
        )
        from qcore.engine.worker.cleanup import Cleanup
        from qcore.engine.worker.process import Worker
        from qcore.ledger.relay import Relay
        from qcore.runtime import current

        conf = current.conf
        made = services(conf)
        ours, theirs = socket.socketpair()
        self._control = Channel(theirs)
        dispatcher = Dispatcher(
            made, Channel(ours), cluster="c" * 32, started=time.time()
        )
        self._loop, self._recorder = dispatcher._loop, dispatcher._recorder
        self._recorder._deliveries.open()
        self._shared, self._ready = dispatcher._shared, dispatcher._ready
        self._pusher = Pusher(
            made, dispatcher._capacity, self._shared, dispatcher._handover, made.report
        )
        self._relay = Relay(conf)
        self._broker = made.make_broker()
        dispatchers, workers = socket.socketpair()
        self._channel = Channel(workers)
        self._worker = Worker(made, workers, (), 1)
        self._worker._cleanup = Cleanup(conf.grace)
        self._control.send(
            pack_control(WorkerStarted(os.getpid(), 1, 1)), [dispatchers.fileno()]
        )
        self._channel.send(pack_reply(READY))
        dispatchers.close()
        self._round()
        self._round()

    def go(self, count: int = BATCH) -> None:
        """Have tasks done that were sent.

        Args:
            count: how many; the walk ends with the last one.

        Raises:
            RuntimeError: not all of them ended.
        """
        for _ in range(_ROUNDS):
            self._round()
            self._pusher._once(self._broker)
            count -= self._work()
            self._record()
            if count <= 0:
                return
            self._relay.tick()
        raise RuntimeError(f"{count} tasks have not ended")

    def _work(self) -> int:
        """Run what was claimed; return how many tasks have ended."""
        from qcore.engine.wire.messages import pack_reply, unpack_order

        done = 0
        self._round()
        while self._loop.pool.busy():
            for order in map(unpack_order, self._channel.receive()):
                self._channel.send(pack_reply(self._worker._obey(order)))
                done += 1
            self._round()
        return done

    def _round(self) -> None:
        self._ready.wake()  # there may be nothing to wait for
        self._loop.round()

    def _record(self) -> None:
        while len(self._recorder._waiting):
            self._recorder._once()
