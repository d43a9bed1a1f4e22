"""A cluster at work, watched: its start, its latency when idle, and how it drains."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from ..brokers.tools import chunks
from ..cluster.subprocess import Child, ChildFailed
from ..monitor.memory import usage
from ..processes import tree
from ..runtime import current
from .sending import Sent
from .tasks import Records

#: Seconds until a cluster must have run its first task.
_START = 60.0
#: Seconds after it until the cluster has settled: all workers are there, caches filled.
_SETTLE = 1.0
#: Seconds between two tasks of a measurement of latency.
_GAP = 0.02
#: Seconds between two looks, and those for one task of an idle cluster.
_LOOK, _PATIENCE = 0.005, 30.0
#: Ids that are looked up at a time.
_PART = 500


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory of a cluster's processes."""

    kind: str  # pss: a page that processes share counts once; rss: in each
    kb: int  # of 1024 bytes


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from before the call to the start of the task."""

    tasks: int
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """How a full queue was worked off."""

    tasks: int  # that waited
    done: int  # that had ended when time was up
    stored: int  # of which the result was stored by then
    seconds: float  # from the start of the first to the last
    stored_seconds: float  # until the last result could be found
    cpu: float  # seconds of the whole cluster for a thousand tasks
    memory: Memory | None

    @property
    def per_second(self) -> float:
        """Tasks run in a second."""
        return self.done / self.seconds

    @property
    def stored_per_second(self) -> float:
        """Tasks run and stored in a second."""
        return self.stored / self.stored_seconds


def await_first(child: Child, records: Records) -> None:
    """Wait until a task has run.

    Raises:
        ChildFailed: the cluster has ended, or runs nothing.
    """
    _await(child, records, 1, time.monotonic() + _START)
    if not records.count():
        raise ChildFailed(
            f"the cluster has run no task within {_START:g} s. The end of its log:\n"
            + child.tail()
        )


def settle() -> None:
    """Wait until a cluster that has run its first task rests."""
    time.sleep(_SETTLE)


def latency(
    child: Child, records: Records, sent: Sent, tasks: int, seconds: float
) -> Latency:
    """Send one task after another to a cluster that has nothing else to do."""
    calls: dict[int, float] = {}
    began = time.monotonic()
    while len(calls) < tasks and time.monotonic() - began < seconds:
        before = time.time()
        calls[sent.one()] = before
        whole = len(sent.ids)
        if not _await(child, records, whole, time.monotonic() + _PATIENCE):
            raise ChildFailed(f"an idle cluster has run no task for {_PATIENCE:g} s.")
        time.sleep(_GAP)
    ran = records.read()
    waited = [max(0.0, ran[number] - at) for number, at in calls.items()]
    p50, p95, p99 = (_quantile(sorted(waited), share) for share in (0.5, 0.95, 0.99))
    return Latency(len(waited), p50, p95, p99)


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def drain(
    child: Child, records: Records, sent: Sequence[str], first: int, seconds: float
) -> Drain:
    """Watch a cluster work off its queue, for so many seconds at most.

    Args:
        child: the cluster, just started.
        records: what the tasks write.
        sent: the ids of the tasks that wait, in the order of their numbers.
        first: the number of the first of them.
        seconds: the time there is, after the first task has run.
    """
    await_first(child, records)
    used, counted = _cpu(child), records.count()
    deadline = time.monotonic() + seconds
    _await(child, records, len(sent), deadline)
    ran = records.read()
    begin, end = min(ran.values()), max(ran.values())
    ids = [sent[number - first] for number in ran if number >= first]
    stored, moment = _await_stored(child, ids, deadline)
    used = _cpu(child) - used
    return Drain(
        tasks=len(sent),
        done=len(ran),
        stored=stored,
        # one moment is no time: with a single task nothing can be told
        seconds=max(end - begin, 1e-6),
        stored_seconds=max(moment - begin, 1e-6),
        cpu=1000 * used / max(records.count() - counted, 1),
        memory=memory(child),
    )


def memory(child: Child) -> Memory | None:
    """Return the memory of a cluster; None where the system does not tell."""
    sizes = [usage(process.pid) for process in tree([child.pid])]
    for kind, index in (("pss", 1), ("rss", 0)):
        known = [size[index] for size in sizes if size[index] is not None]
        if known and (kind == "rss" or len(known) == len(sizes)):
            return Memory(kind, sum(kb for kb in known if kb is not None))
    return None


def _cpu(child: Child) -> float:
    return sum(process.cpu for process in tree([child.pid]))


def _await(child: Child, records: Records, count: int, deadline: float) -> bool:
    """Wait until so many tasks have run; return whether they have."""
    while records.count() < count:
        child.check()
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOOK)
    return True


def _await_stored(
    child: Child, ids: Sequence[str], deadline: float
) -> tuple[int, float]:
    """Wait until the results of tasks can be found; return how many, and since when.

    The last to end is nearly always the last to be stored, so its neighbourhood is
    asked until it is there; what is found at the first look was there before.
    """
    store = current.store(current.conf.cached)
    found, moment = 0, 0.0
    for part in reversed([*chunks(ids, _PART)]):
        there = len(store.finished(part))
        waited = not moment
        while there < len(part) and time.monotonic() < deadline:
            child.check()
            time.sleep(_LOOK)
            there, waited = len(store.finished(part)), True
        if waited:
            moment = time.time()
        found += there
    return found, moment
