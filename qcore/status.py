"""Status: what each cluster says of itself, in each ``guard_cycle`` that brings news.

Snapshots go through the cache backend (setting ``cache``). Where that cache is private
to a process, nobody else would see them, so they go through the broker's own service.
"""

from __future__ import annotations

import time

import msgspec

from .caches.signed import SignedCache
from .errors import QcoreError
from .runtime import current

SCHEMA = "qcore.status/1"
#: Seconds for which a snapshot counts as alive at least; a cluster that misses
#: several rounds in a row is gone.
MIN_TTL = 3.0
#: Seconds between two snapshots of a cluster that has nothing new to say, unless
#: ``guard_cycle`` is longer: each costs a round trip.
PAUSE = 5.0
#: Seconds that a cluster stays in the index after its last word: long, for two clusters
#: that write it at once keep what they have read of the other.
_LISTED = 60.0


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a task is, by its last report."""

    done: float
    total: float | None = None
    """What ``done`` will be at the end; None where the task does not know."""
    note: str = ""
    at: float = 0.0
    """When the task reported, in seconds since the epoch, by the clock of its machine."""

    @property
    def share(self) -> float | None:
        """``done`` as a part of ``total``, from 0 to 1; None where that is not known."""
        if not self.total:
            return None
        return min(1.0, max(0.0, self.done / self.total))

    @property
    def text(self) -> str:
        """For people: ``"40%, 2 of 5: rows"``."""
        told = _figure(self.done)
        if self.total is not None:
            told += f" of {_figure(self.total)}"
        if (share := self.share) is not None:
            told = f"{share:.0%}, {told}"
        return f"{told}: {self.note}" if self.note else told


def _figure(value: float) -> str:
    """Return ``1,200`` for 1200.0, and ``0.25`` for what is not whole."""
    return f"{int(value):,}" if value == int(value) else f"{value:,.2f}"


class WorkerStatus(msgspec.Struct, kw_only=True):
    """One worker process."""

    index: int  # its place, from 1; a replacement takes over the place
    pid: int
    state: str  # "starting", "idle", "busy", "following up" or "ending"
    task_id: str | None = None
    task_name: str | None = None
    func: str | None = None
    seconds: float | None = None  # for which it has been in its task
    rss: int | None = None  # resident memory, kB, at the end of a task or since
    done: int = 0  # tasks since it started
    progress: Progress | None = None  # of its task, as that has told last


class Pause(msgspec.Struct, kw_only=True, frozen=True):
    """A queue from which no cluster claims, until somebody resumes it."""

    queue: str
    at: float  # since when, seconds since the epoch
    by: str | None = None  # who has paused it, as far as that was said
    reason: str = ""


class Snapshot(msgspec.Struct, kw_only=True):
    """One cluster at one moment."""

    schema: str = SCHEMA
    cluster: str  # id, 32 hexadecimal digits
    name: str  # the project
    queue: str
    host: str
    version: str
    broker: str  # name and version of the service
    state: str  # "starting", "running", "paused", "degraded", "stopping" or "stopped"
    sentinel_pid: int
    dispatcher_pid: int
    started: float  # seconds since the epoch
    at: float  # when this was taken
    workers: list[WorkerStatus]
    waiting: int = 0  # claimed, and no worker is free for it yet
    recording: int = 0  # finished, and not yet stored
    succeeded: int = 0  # since the start
    failed: int = 0
    crashed: int = 0  # of the failed: how many killed their worker
    quarantined: int = 0
    restarts: int = 0  # workers replaced, for whatever reason
    problem: str | None = None  # what keeps it from working, one line: it is degraded
    pause: Pause | None = None  # of its queue: it claims nothing
    keys: list[str] = []  # fingerprints of the keys it accepts; the first one signs
    reads: int = 1  # the latest version of packages that it runs; release 2.0 is silent

    @property
    def uptime(self) -> float:
        """Seconds from its start until this was taken."""
        return self.at - self.started

    def uptime_at(self, now: float) -> float:
        """Return the seconds since its start, as far as this can tell.

        Args:
            now: seconds since the epoch, by a clock that may differ from the cluster's.
        """
        return min(max(now, self.at), self.at + PAUSE) - self.started


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Snapshot).decode


def route() -> str:
    """Return the way that snapshots take: "cache", "broker" or "none"."""
    if current.cache.is_shared:
        return "cache"
    return "broker" if current.broker().supports_stats else "none"


def lifetime(pause: float | None = None) -> float:
    """Return for how many seconds a snapshot counts.

    Args:
        pause: seconds in which the next one comes at the latest; None: ``guard_cycle``.
    """
    cycle = current.conf.guard_cycle
    longer = 0.0 if pause is None else max(0.0, pause - cycle)
    return max(MIN_TTL, 4 * cycle) + longer


def publish(snapshot: Snapshot, pause: float | None = None) -> None:
    """Make a snapshot visible to ``snapshots`` in other processes.

    It counts until the next one is late by a few rounds.

    Args:
        snapshot: of a cluster of this project.
        pause: seconds in which the next one comes at the latest; None: ``guard_cycle``.

    Raises:
        BrokerError, StoreError: it could not be published now.
    """
    keys = current.signer.fingerprints
    value = _encode(msgspec.structs.replace(snapshot, keys=keys))
    ttl = lifetime(pause)
    way = route()
    if way == "broker":
        current.broker().set_stat(_key(snapshot.cluster), value, ttl)
    elif way == "cache":
        _cache().set(_key(snapshot.cluster), value, ttl)
        _enlist(snapshot.cluster, ttl)


def snapshots() -> list[Snapshot]:
    """Return the newest snapshot of every living cluster of this project."""
    if route() == "broker":
        found = current.broker().get_stats(_key(""))
    elif route() == "cache":
        keys = [_key(cluster) for cluster in _enlisted()]
        found = list(_cache().get_many(keys).values()) if keys else []
    else:
        found = []
    read = []
    for value in found:
        try:
            read.append(_decode(value))
        except msgspec.DecodeError as error:
            raise QcoreError(
                f"a status snapshot cannot be read: {error}. Is another version of"
                " qcore running a cluster here?"
            ) from error
    return sorted(read, key=lambda snapshot: (snapshot.host, snapshot.started))


def running() -> list[Snapshot]:
    """Return ``snapshots`` less those whose last word was that they have stopped."""
    return [snapshot for snapshot in snapshots() if snapshot.state != "stopped"]


def _cache() -> SignedCache:
    """Return the cache, whose values are signed: anybody may be able to write there."""
    return SignedCache(current.cache, current.conf)


def _key(cluster: str) -> str:
    return f"qcore:{current.conf.name}:status:{cluster}"


def _index_key() -> str:
    return f"qcore:{current.conf.name}:clusters"


def _enlisted() -> dict[str, float]:
    """The clusters of this project and until when each of them counts."""
    value = _cache().get(_index_key())
    known: dict[str, float] = msgspec.json.decode(value) if value else {}
    now = time.time()
    return {cluster: until for cluster, until in known.items() if until > now}


def _enlist(cluster: str, ttl: float) -> None:
    """Add a cluster to the index.

    Two clusters may overwrite each other's entry. One that was there before is still
    there then, as it was; and a new one adds itself again in its next round. The index
    only says where to look: whether a cluster lives is told by its snapshot.
    """
    known = _enlisted()
    known[cluster] = time.time() + ttl + _LISTED
    _cache().set(_index_key(), msgspec.json.encode(known), ttl + _LISTED)
