"""The ground of a bench: the project's settings, on a queue that is the bench's own."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connections

from ..brokers.memory import MemoryBroker
from ..brokers.tools import chunks
from ..conf import Conf
from ..errors import BrokerError, ConfigError
from ..models import Task
from ..runtime import current
from ..status import snapshots

#: What the queues of benches begin with.
PREFIX = "qcore-bench-"
_VARIABLE = "Q_CLUSTER_NAME"
#: Seconds that a cache keeps what cannot be removed at the end.
_CACHED = 3600
#: Ids in one statement: SQLite before 3.32 takes 999 parameters.
_IDS = 500


def new_queue() -> str:
    """Return the name of a queue that nobody else has."""
    return f"{PREFIX}{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True)
class Ground:
    """A queue of its own, with the settings of the project."""

    queue: str
    workers: int | None  # None: as the project has it
    chosen: str  # the project's own Q_CLUSTER_NAME, or ""
    notes: list[str]  # what differs from the everyday of the project


@contextlib.contextmanager
def measured(queue: str, workers: int | None) -> Iterator[Ground]:
    """Work on ``queue`` with the settings of the project.

    Raises:
        ConfigError: the settings are wrong, or keep tasks within one process.
    """
    before, name = getattr(settings, "Q_CLUSTER", {}), os.environ.get(_VARIABLE)
    ground = Ground(queue, workers, name or "", _notes(current.conf))
    adapt(queue, workers)
    try:
        _refuse_private()
        yield ground
    finally:
        current.close()
        os.environ.pop(_VARIABLE, None)
        if name is not None:
            os.environ[_VARIABLE] = name
        settings.Q_CLUSTER = before
        current.reset()


def _refuse_private() -> None:
    """Raise where a cluster could not be reached: it is a process of its own."""
    if isinstance(current.broker(), MemoryBroker):
        raise ConfigError(
            "the broker 'memory' lives in one process, and a cluster is another."
            " Set the broker that you want measured in Q_CLUSTER."
        )
    if current.conf.cached and not current.cache.is_shared:
        raise ConfigError(
            f"results go to the cache {current.conf.cache!r}, which is private to a"
            " process: nobody could find those of a cluster. Set CACHES to a cache that"
            " processes share, or leave cached out of Q_CLUSTER."
        )


def adapt(queue: str, workers: int | None) -> None:
    """Change ``Q_CLUSTER`` of this process to what a bench needs, and nothing else."""
    options: dict[str, Any] = dict(getattr(settings, "Q_CLUSTER", {}))
    alternatives = options.pop("ALT_CLUSTERS", {})
    chosen = alternatives.get(os.environ.get(_VARIABLE, ""), {})
    options |= {k: v for k, v in chosen.items() if k not in ("name", "cluster_name")}
    # its schedules are the project's, and pruning would delete results of the project
    options |= {"scheduler": False, "save_limit": 0, "sync": False}
    if options.get("allowed_tasks") is not None:
        options["allowed_tasks"] = [*options["allowed_tasks"], "qcore.bench.tasks"]
    if workers is not None:
        options["workers"] = workers
    settings.Q_CLUSTER = options
    os.environ[_VARIABLE] = queue
    current.reset()


def _notes(conf: Conf) -> list[str]:
    """Return what differs from the project's everyday, one sentence each."""
    found = []
    if conf.sync:
        found.append("sync is True in Q_CLUSTER: it counts as False here.")
    if conf.save_limit:
        found.append(
            f"save_limit is {conf.save_limit} in Q_CLUSTER: here every result is kept"
            " to the end, so that none of yours is pruned."
        )
    if conf.cached:
        found.append("Results go to the cache, as cached in Q_CLUSTER says.")
    if settings.DEBUG:
        found.append("DEBUG is True: Django keeps every query, which takes time.")
    return found


def neighbours() -> list[str]:
    """Return a note on clusters that run meanwhile; asks the broker or the cache."""
    running = len(snapshots())
    if not running:
        return []
    are = "1 cluster of this project is" if running == 1 else f"{running} clusters are"
    return [f"{are} running: what they do takes part in these figures."]


def results_in() -> str:
    """Return the name of the database, or cache, that keeps results."""
    if current.conf.cached:
        return f"the cache {current.conf.cache!r}"
    alias = current.store().database or "default"
    return f"{connections[alias].display_name} ({alias!r})"


def task_options() -> dict[str, Any]:
    """Return the options of the tasks: none, unless results go to a cache.

    There the key of a task's name outlives its result, so all share one name, and it
    goes by itself.
    """
    if not current.conf.cached:
        return {}
    return {"task_name": current.conf.queue, "cached": _CACHED}


def clear(ids: Sequence[str]) -> None:
    """Remove the queue, and the results of the tasks that were sent to it.

    Signals that come meanwhile are ignored: what is left would stay.

    Raises:
        BrokerError: the queue may be left; the results are not.
    """
    signals = signal.SIGINT, signal.SIGTERM
    before = [signal.signal(number, signal.SIG_IGN) for number in signals]
    try:
        _remove_queue()
    finally:
        _forget(ids)
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _remove_queue() -> None:
    broker = current.broker()
    try:
        broker.delete_queue()
    except BrokerError:
        sys.stderr.write(
            f"qcore bench: the queue {broker.queue} could not be removed\n"
        )
        raise


def _forget(ids: Sequence[str]) -> None:
    store = current.store(current.conf.cached)
    if current.conf.cached:
        for id in ids:
            store.delete(id)
        return
    rows = Task.objects.using(store.database)
    for part in chunks(ids, _IDS):
        rows.filter(id__in=part).delete()
