"""Clusters: each with its workers, what they run, for how long, and their memory."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from qcore.masking import mask_url
from qcore.runtime import current

from .. import live

if TYPE_CHECKING:
    from django.http import HttpRequest

    from qcore.status import Snapshot, WorkerStatus

#: Workers of one cluster that the page shows.
MOST_WORKERS = 100


def look(request: HttpRequest, rest: str) -> dict[str, Any]:
    """Return the document."""
    now = live.look()
    return {
        "clusters": None
        if now.clusters is None
        else [_cluster(one) for one in now.clusters],
        "absence": now.absence,
        "timeout": current.conf.timeout,
        "problems": now.problems,
    }


def _cluster(one: Snapshot) -> dict[str, Any]:
    memory = [worker.rss for worker in one.workers if worker.rss is not None]
    return {
        "id": one.cluster,
        "queue": one.queue,
        "host": one.host,
        "version": one.version,
        "broker": mask_url(one.broker),
        "state": one.state,
        "problem": None if one.problem is None else mask_url(one.problem),
        "uptime_seconds": one.uptime_at(time.time()),
        "started": one.started,
        "claimed": one.waiting,
        "recording": one.recording,
        "succeeded": one.succeeded,
        "failed": one.failed,
        "crashed": one.crashed,
        "quarantined": one.quarantined,
        "restarts": one.restarts,
        "sentinel_pid": one.sentinel_pid,
        "dispatcher_pid": one.dispatcher_pid,
        "rss": sum(memory) if memory else None,
        "workers": [_worker(worker) for worker in one.workers[:MOST_WORKERS]],
        "more": max(0, len(one.workers) - MOST_WORKERS),
    }


def _worker(one: WorkerStatus) -> dict[str, Any]:
    progress = one.progress
    return {
        "index": one.index,
        "pid": one.pid,
        "state": one.state,
        "task_id": one.task_id,
        "task_name": one.task_name,
        "func": one.func,
        "seconds": one.seconds,
        "rss": one.rss,
        "done": one.done,
        "progress": None
        if progress is None
        else {
            "share": progress.share,
            "done": progress.done,
            "total": progress.total,
            "note": mask_url(progress.note),
        },
    }
