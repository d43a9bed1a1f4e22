"""The load of a soak: tasks of several kinds at random moments."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from contextlib import nullcontext
from typing import Any, Self

from django.db import Error, connections, transaction
from django.db.utils import load_backend
from faults.asked import Asked, Policy
from faults.kinds import KINDS, Kind

from qcore.errors import BrokerError, StoreError
from qcore.runtime import current
from qcore.tasks import cancel
from qcore.tasks.calls import build
from qcore.tasks.sending import send

#: Tasks per second, about; two clusters with two workers have room for twice as many on a
#: calm machine. On another one fewer are sent: so many may wait.
RATE, WAITING = 12.0, 60


class Load:
    """Sends tasks until told to stop, and knows which of them have surely been sent.

    Args:
        queue: to which.
        seed: of every choice.
        database: of the ledger, as an entry of ``DATABASES``.
        lease: seconds.
        killers: how many tasks kill each cluster that runs them.
        seconds: of the day; the killers come in its first half, and what waits long does
            not come at its end.
        calm: without what kills more than its worker.
    """

    def __init__(
        self,
        queue: str,
        seed: int,
        database: dict[str, object],
        *,
        lease: float,
        killers: int,
        seconds: float,
        calm: bool,
    ) -> None:
        self.sent: dict[str, str] = {}
        self.doubtful: dict[str, str] = {}
        self.kinds: dict[str, str] = {}
        #: what was asked of the tasks, by their keys
        self.asked = Asked()
        self._queue = queue
        self._database = database
        self._random = random.Random(seed)
        self._ends = time.monotonic() + seconds
        self._all = {name: kind.late(lease + 1) for name, kind in KINDS.items()}
        self._killers = sorted(
            time.monotonic() + self._random.uniform(0.1, 0.5) * seconds
            for _ in range(killers)
        )
        self._weights = {
            name: kind.weight
            for name, kind in KINDS.items()
            if kind.harmless or not calm
        }
        #: when, task id and key
        self._to_cancel: list[tuple[float, str, str]] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def of(self, task_id: str) -> Kind:
        """Return the kind of a task that was sent, or may have been."""
        return self._all[self.kinds[task_id]]

    def is_cached(self, task_id: str) -> bool:
        """Whether its result is in the cache."""
        return "cached" in self.of(task_id).options

    def counts(self) -> Counter[str]:
        """Return how many there are of each kind."""
        return Counter(self.kinds.values())

    def _run(self) -> None:
        complete = connections.configure_settings({"default": self._database})[
            "default"
        ]
        backend = load_backend(complete["ENGINE"])
        connections["default"] = backend.DatabaseWrapper(complete, "default")
        number = 0
        while not self._end.wait(self._random.expovariate(RATE)):
            if number % 10 or self._has_room():
                number += 1
                self._send(f"soak {number}")
            self._cancel(time.monotonic())
        self._cancel(float("inf"))
        current.close()
        connections["default"].close()

    def _has_room(self) -> bool:
        try:
            broker = current.broker(self._queue)
            return broker.queue_size() + broker.lock_size() < WAITING
        except BrokerError:
            return True  # it is away, and so is who would wait

    def _send(self, key: str) -> None:
        names, weights = zip(*self._weights.items(), strict=True)
        name = self._random.choices(names, weights)[0]
        if self._killers and time.monotonic() > self._killers[0]:
            del self._killers[0]
            name = "killing each cluster"
        if time.monotonic() + 2 * self._all[name].waits > self._ends:
            name = "work"
        kind = self._all[name]
        args = (self._random.uniform(0, 0.4),) if kind.call == "work" else kind.args
        task = build(
            f"chores.mixed.{kind.call}",
            (key, *args),
            cluster=self._queue,
            **{"max_attempts": 0, **kind.options},
        )
        self.kinds[task.id] = name
        self._note(key, kind)
        within: Any = transaction.atomic() if kind.in_transaction else nullcontext()
        try:
            with within:
                send([task], delay=kind.delay)
        except (BrokerError, StoreError, Error):
            # whether it was stored is not known then
            self.doubtful[task.id] = key
            connections["default"].close()
        else:
            self.sent[task.id] = key
        if kind.cancelled is not None:
            at = time.monotonic() + self._random.uniform(0, kind.cancelled)
            self._to_cancel.append((at, task.id, key))

    def _note(self, key: str, kind: Kind) -> None:
        now = time.monotonic()
        self.asked.sent[key] = now
        if kind.delay:
            self.asked.due[key] = now + kind.delay
        if kind.runs:
            self.asked.policies[key] = Policy(kind.runs, kind.attempts, kind.wait)

    def _cancel(self, now: float) -> None:
        """Cancel what is to be cancelled by now; if nobody can be told, it runs."""
        due = [one for one in self._to_cancel if one[0] <= now]
        self._to_cancel = [one for one in self._to_cancel if one[0] > now]
        for _, id, key in due:
            try:
                found = cancel(id)[id]
            except (BrokerError, StoreError, Error):
                connections["default"].close()
            else:
                if found != "ended":
                    self.asked.cancelled[key] = time.monotonic()
                self.asked.answers[found] += 1
