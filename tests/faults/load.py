"""The load of a soak: tasks of several kinds at random moments."""

from __future__ import annotations

import random
import threading
from typing import Self

from qcore.current import current
from qcore.errors import BrokerError
from qcore.tasks.calls import build
from qcore.tasks.sending import send

#: Tasks per second, about; two clusters with two workers have room for twice as many.
RATE = 12.0
#: How often a task that always fails is tried.
ATTEMPTS = 2


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
