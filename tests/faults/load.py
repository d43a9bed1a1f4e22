"""The load of a soak: tasks of several kinds at random moments."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from typing import Any, NamedTuple, Self

from faults.judge import End

from qcore.envelope import Outcome
from qcore.errors import BrokerError
from qcore.runtime import current
from qcore.tasks.calls import build
from qcore.tasks.sending import send

#: Tasks per second, about; two clusters with two workers have room for twice as many on a
#: calm machine. On another one fewer are sent: so many may wait.
RATE, WAITING = 12.0, 60
#: Bytes of a result that Redis does not take, see ``faults.poison``.
TOO_LARGE = 1_300_000

SUCCESS = End(frozenset({Outcome.SUCCESS}))
FAILURE = End(frozenset({Outcome.FAILURE, Outcome.CRASH}))
ENDED = End(frozenset({Outcome.TIMEOUT, Outcome.CRASH}))
CRASH = End(frozenset({Outcome.CRASH}))
REFUSED = End(frozenset({Outcome.FAILURE}), "the result cannot be stored")


class Kind(NamedTuple):
    """What a task of the load does, and how it must end.

    ``FAILURE``, ``ENDED``: where its worker dies by another fault, it is a crash.
    """

    call: str
    weight: float
    end: End
    args: tuple[Any, ...] = ()
    options: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it
    tells_pid: bool = False  # its result is the pid of its worker
    harmless: bool = True  # no process dies of it but its worker


#: By the names that the report has.
KINDS = {
    "work": Kind("work", 70, SUCCESS, tells_pid=True),
    "cached": Kind("work", 10, SUCCESS, options={"cached": True}, tells_pid=True),
    "failing": Kind("fail", 5, FAILURE, options={"max_attempts": 2}),
    "crashing once": Kind("crash_once", 2, SUCCESS, tells_pid=True),
    "bulky": Kind("bulky", 4, SUCCESS, (200_000,)),
    "bulky, cached": Kind("bulky", 1, SUCCESS, (200_000,), {"cached": True}),
    "forking": Kind("fork_back", 4, SUCCESS, tells_pid=True),
    "closing descriptors": Kind("close_link", 1, ENDED, options={"max_attempts": 1}),
    "the same, unseen": Kind(
        "hold_link", 0.7, ENDED, options={"max_attempts": 1, "timeout": 1}
    ),
    "poison": Kind("poison", 1.5, REFUSED),
    "poison, cached": Kind("bulky", 0.5, REFUSED, (TOO_LARGE,), {"cached": True}),
    "killing two clusters": Kind(
        "kill_cluster", 0.1, SUCCESS, (2,), tells_pid=True, harmless=False
    ),
    "killing each cluster": Kind("kill_cluster", 0, CRASH, (10**6,), harmless=False),
}


class Load:
    """Sends tasks until told to stop, and knows which of them have surely been sent.

    Args:
        queue: to which.
        seed: of every choice.
        killers: how many tasks kill each cluster that runs them.
        seconds: of the day; the killers come in its first half.
        calm: without what kills more than its worker.
    """

    def __init__(
        self, queue: str, seed: int, *, killers: int, seconds: float, calm: bool
    ) -> None:
        self.sent: dict[str, str] = {}
        self.doubtful: dict[str, str] = {}
        self.kinds: dict[str, str] = {}
        self._queue = queue
        self._random = random.Random(seed)
        self._killers = sorted(
            time.monotonic() + self._random.uniform(0.1, 0.5) * seconds
            for _ in range(killers)
        )
        self._weights = {
            name: kind.weight
            for name, kind in KINDS.items()
            if kind.harmless or not calm
        }
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
        return KINDS[self.kinds[task_id]]

    def is_cached(self, task_id: str) -> bool:
        """Whether its result is in the cache."""
        return "cached" in self.of(task_id).options

    def counts(self) -> Counter[str]:
        """Return how many there are of each kind."""
        return Counter(self.kinds.values())

    def _run(self) -> None:
        number = 0
        while not self._end.wait(self._random.expovariate(RATE)):
            if number % 10 or self._has_room():
                number += 1
                self._send(f"soak {number}")
        current.close()

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
        kind = KINDS[name]
        args = (self._random.uniform(0, 0.4),) if kind.call == "work" else kind.args
        task = build(
            f"chores.mixed.{kind.call}",
            (key, *args),
            cluster=self._queue,
            **{"max_attempts": 0, **kind.options},
        )
        self.kinds[task.id] = name
        try:
            send([task])
        except BrokerError:  # whether it was stored is not known then
            self.doubtful[task.id] = key
        else:
            self.sent[task.id] = key
