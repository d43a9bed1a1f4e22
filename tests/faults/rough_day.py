"""Faults at random, and a service manager that starts again what has ended.

Everything is chosen by one seeded generator, so that a day can be repeated as far as
the machine lets it.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import redis
from django.db import Error, connection
from faults.judge import Fault
from faults.recovery import is_whole

from qcore.errors import StoreError
from qcore.tasks import pause, resume
from qcore.testing.cluster import LiveCluster
from qcore.testing.speed import stretched

if TYPE_CHECKING:
    from faults.malformed import Malformed
    from faults.place import Place
    from faults.recovery import Recovery
    from servers.base import LoopbackServer

#: Seconds between two faults, and how long an outage lasts.
PAUSE = (3.0, 8.0)
OUTAGE = (0.5, 4.0)
#: How long a queue is paused, beyond those in which clusters hear of it.
PAUSED = (2.0, 6.0)
#: Seconds, of a calm machine, in which a cluster has heard what people ask.
HEARD = 5.0
#: The same on a machine however slow, or nothing else would happen in a day.
LONGEST_PAUSE = 20.0
#: Seconds of a calm machine in which everything has ended that was to end with a killed
#: process.
EFFECT = 2.0
#: How often each fault comes, relative to the others.
WEIGHTS = {
    "worker": 5, "dispatcher": 2, "sentinel": 1, "cluster": 1, "freeze": 2,
    "broker": 1, "database": 1, "cache": 1, "deploy": 1, "malformed": 2,
    "acknowledgements": 1, "connections": 1, "pause": 2,
}  # fmt: skip

#: Dispatcher or sentinel of a place in the day: resident memory, kB, and descriptors.
Sample = tuple[float, str, int, int]


@dataclass
class Day:
    """Two clusters between three servers that are not safe from anything.

    Args:
        place: where the clusters are started.
        broker: the server of the queue.
        database: the server of the results.
        cache: the server of status, and of some results.
        malformed: puts entries into the queue by hand.
        recovery: takes the times.
        seed: of every choice.
        lease: seconds.
    """

    place: Place
    broker: LoopbackServer
    database: LoopbackServer
    cache: LoopbackServer
    malformed: Malformed
    recovery: Recovery
    seed: int
    lease: float
    options: dict[str, object]
    faults: list[Fault] = field(default_factory=list)
    #: from the answer to ``pause`` to the call of ``resume``
    pauses: list[tuple[float, float]] = field(default_factory=list)
    told: dict[float, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.began = time.monotonic()
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._next_fault = self.began + PAUSE[1]
        self._next_sample = 0.0
        #: when the queue is resumed, and when it was paused; None where nobody answered
        self._paused: tuple[float, float | None] | None = None
        #: when it was tried in vain, which may have resumed it all the same
        self._resume_called: float | None = None
        self.patience = min(stretched(HEARD), LONGEST_PAUSE)
        self.clusters = [self._start(), self._start()]

    def _start(self) -> LiveCluster:
        return self.place.start(wait=False, retry=self.lease, **self.options)

    def step(self, *, calm: bool = False) -> None:
        """Do what is due now; ``calm`` does no new harm."""
        now = time.monotonic()
        actions = [action for at, action in self._later if at <= now]
        self._later = [entry for entry in self._later if entry[0] > now]
        for action in actions:
            action()
        if self._paused is not None and now >= self._paused[0]:
            self._resume()
        self._restart_what_ended()
        self.recovery.look(self.clusters)
        if now >= self._next_sample:
            self._next_sample = now + 1
            self._sample(now)
        due = not calm and now >= self._next_fault and not self._later
        # where clusters take long to start, there would soon be nothing left to harm
        if due and any(map(is_whole, self.clusters)):
            self._next_fault = now + self.random.uniform(*PAUSE)
            names, weights = zip(*WEIGHTS.items(), strict=True)
            self._harm(self.random.choices(names, weights)[0])

    @property
    def is_whole(self) -> bool:
        """Whether everything that was broken is mended."""
        is_mended = not self._later and self._paused is None
        return is_mended and all(map(is_whole, self.clusters))

    # -- harm ------------------------------------------------------------------------
    def _harm(self, what: str) -> None:
        cluster = self.random.choice(self.clusters)
        hit = frozenset(cluster.workers)
        if what == "worker":
            hit = frozenset(self.random.sample(sorted(hit), min(1, len(hit))))
        began = time.monotonic()
        self.told[began - self.began] = what
        self.counts[what] += 1
        effect = stretched(EFFECT)
        fault = Fault(began, began + effect, what, hit)
        if what == "malformed":
            self.malformed.add()
            return  # it may end nothing
        if what == "pause":
            self._pause()
            return  # nor may this
        if what == "connections":
            _cut(self.broker)
            self.faults.append(fault)
        elif what == "acknowledgements":
            self._lose_acknowledgements(cluster, fault)
        elif what in ("broker", "database", "cache"):
            self._outage(what, fault._replace(pids=frozenset()))
        elif what == "freeze":
            self._freeze(cluster, fault)
        else:
            self._end(what, cluster, hit)
            self.faults.append(fault._replace(ended=time.monotonic() + effect))

    def _end(self, what: str, cluster: LiveCluster, workers: Iterable[int]) -> None:
        pids = {
            "worker": list(workers),
            "dispatcher": cluster._dispatchers(),
            "cluster": [process.pid for process in cluster.survivors()],
        }.get(what, [cluster.sentinel])
        self.recovery.ended(what, self._number(cluster), pids)
        _signal(pids, signal.SIGTERM if what == "deploy" else signal.SIGKILL)

    def _mended(self, what: str, fault: Fault) -> None:
        now = time.monotonic()
        self.told[now - self.began] = what
        self.faults.append(fault._replace(ended=now))

    def _outage(self, what: str, fault: Fault) -> None:
        server: LoopbackServer = getattr(self, what)
        server.kill()

        def mend() -> None:
            server.start()
            self._mended("it is back", fault)
            self.recovery.back(what)

        self._after(OUTAGE, mend)

    def _lose_acknowledgements(self, cluster: LiveCluster, fault: Fault) -> None:
        """Kill the dispatcher while it has stored ends and cannot acknowledge them."""
        self._outage("broker", fault)

        def end() -> None:
            dispatchers = cluster._dispatchers()
            self.recovery.ended("dispatcher", self._number(cluster), dispatchers)
            _signal(dispatchers, signal.SIGKILL)
            now = time.monotonic()
            ended = now + stretched(EFFECT)
            self.faults.append(fault._replace(began=now, ended=ended))

        self._after((0.2, OUTAGE[0]), end)

    def _pause(self) -> None:
        """Pause the queue for some seconds, if the ledger answers; faults go on."""
        if self._paused is not None:
            return
        try:
            pause(self.place.queue, by="the soak")
            told: float | None = time.monotonic()
        except (StoreError, Error):
            connection.close()
            told = None  # whether it is paused is not known
        now = time.monotonic()
        self._paused = now + self.patience + self.random.uniform(*PAUSED), told

    def _resume(self) -> None:
        assert self._paused is not None
        called = time.monotonic()
        try:
            resume(self.place.queue)
        except (StoreError, Error):
            connection.close()  # it is tried again in the next step
            called = min(called, self._resume_called or called)
            self._resume_called = called
            return
        _, told = self._paused
        self._paused = None
        if told is not None:
            self.pauses.append((told, min(called, self._resume_called or called)))
        self._resume_called = None

    def _number(self, cluster: LiveCluster) -> int:
        """Return the place of a cluster; whoever was started anew has the same."""
        return self.clusters.index(cluster) if cluster in self.clusters else 0

    def _freeze(self, cluster: LiveCluster, fault: Fault) -> None:
        frozen = cluster._dispatchers()
        _signal(frozen, signal.SIGSTOP)

        def mend() -> None:
            _signal(frozen, signal.SIGCONT)
            self._mended("it goes on", fault)

        # about half of them are over before the lease ends
        self._after((0.5 * self.lease, 1.5 * self.lease), mend)

    def _after(self, seconds: tuple[float, float], action: Callable[[], None]) -> None:
        at = time.monotonic() + self.random.uniform(*seconds)
        self._later.append((at, action))

    # -- the service manager -----------------------------------------------------------
    def _restart_what_ended(self) -> None:
        for number, cluster in enumerate(self.clusters):
            if cluster.exit_code is not None:
                self.counts[f"exit {cluster.exit_code}"] += 1
                self.clusters[number] = self._start()

    def _sample(self, now: float) -> None:
        for number, cluster in enumerate(self.clusters):
            processes = {"sentinel": [cluster.sentinel]}
            processes["dispatcher"] = cluster._dispatchers()
            for role, pids in processes.items():
                for pid in pids:
                    if found := usage(pid):
                        name = f"{role} {number + 1}"
                        self.samples.append((now - self.began, name, *found))


def _cut(server: LoopbackServer) -> None:
    """Cut every connection to a Redis: what was answered then, nobody has heard."""
    with redis.Redis(port=server.port) as client:
        client.client_kill_filter(_type="normal", skipme=True)


def usage(pid: int) -> tuple[int, int] | None:
    """Return resident memory, kB, and open descriptors; None if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]), descriptors
    return None


def _signal(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue  # it has ended by itself, or by another fault
