"""The clusters that run: whether they are of one mind with this process."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Sequence

from .. import __version__
from ..conf.names import near_queue
from ..findings import Finding, error, ok, warning
from ..masking import mask_url
from ..models.tables import RESULTS, SCHEDULES, kept_elsewhere
from ..monitor.text import number, plural
from ..printable import printable
from ..runtime import current
from ..signing import BOUND
from ..status import PAUSE, Snapshot, lifetime, route, snapshots
from .measures import SKEW, skewed
from .tables import required, unset


def clusters() -> Iterator[Finding]:
    """Yield what is to be said of each running cluster, and of what was refused.

    Raises:
        QcoreError: status cannot be read.
        django.db.Error: the database cannot be asked.
    """
    running = [seen for seen in snapshots() if seen.state != "stopped"]
    yield _running(running)
    yield from _queue(running)
    ours = current.signer.fingerprints
    for seen in running:
        who = f"the cluster {seen.cluster[-8:]} on {seen.host}"
        if seen.problem:
            yield error(f"{who} reports: {seen.problem}", "See its log.")
        if seen.version != __version__:
            yield warning(
                f"{who} runs qcore {seen.version}, this process {__version__}",
                "Restart it once the update has been installed there.",
            )
        if seen.reads < BOUND:
            yield warning(
                f"{who} is of release 2.0: it gives back tasks with options that it does"
                " not know, such as 'expires', each for 30 seconds",
                "Restart it once the update has been installed there.",
            )
        yield from compare_keys(who, seen.keys, ours)
        yield from _clock(who, seen)
    if not any(map(unset, required())):  # else the section of the databases tells it
        yield from _quarantine()
        yield from _schedules()


def _running(running: Sequence[Snapshot]) -> Finding:
    if running:
        workers = sum(len(seen.workers) for seen in running)
        counts = f"{plural(len(running), 'cluster')}, {plural(workers, 'worker')}"
        return ok(f"running: {counts}")
    if route() == "none":
        return warning(
            "whether a cluster is running cannot be known: the cache is private to each"
            " process, and the broker carries no status",
            "Set CACHES to a cache that processes share.",
        )
    return warning("no cluster is running: tasks wait", "Start one: qcore cluster")


def _queue(running: Sequence[Snapshot]) -> Iterator[Finding]:
    """Yield whether somebody works on the queue that this process sends to."""
    queue = current.conf.queue
    theirs = sorted({seen.queue for seen in running})
    if not theirs or queue in theirs:
        return
    yield warning(
        f"no running cluster works on the queue {queue!r} of this process"
        f"{near_queue(queue, theirs)}; they work on"
        f" {', '.join(map(repr, theirs))}",
        f"Start one: qcore cluster --name {shlex.quote(queue)}",
    )


def compare_keys(
    who: str, theirs: Sequence[str], ours: Sequence[str]
) -> Iterator[Finding]:
    """Yield whether two processes accept each other's packages.

    Args:
        who: the other one, for messages.
        theirs, ours: fingerprints of the keys that are accepted; the first one signs.
            An empty list was published by an older version and says nothing.
    """
    if not theirs:
        return
    if ours[0] not in theirs:
        yield error(
            f"this process signs with another key than {who}, which refuses its tasks"
            f" (ours {ours[0]}, accepted there {', '.join(theirs)})",
            "Give both the same SECRET_KEY or signing_keys, and the same"
            " Q_CLUSTER['name']. While you change a key, put the other one into"
            " SECRET_KEY_FALLBACKS.",
        )
    elif theirs[0] not in ours:
        yield warning(
            f"{who} signs with a key that this process does not accept"
            f" (theirs {theirs[0]}, accepted here {', '.join(ours)})",
            "Put that key into SECRET_KEY_FALLBACKS here, or restart the cluster with"
            " the settings of this process.",
        )
    elif theirs[0] != ours[0]:
        yield ok(f"{who} signs with another key, and each accepts the other's")
    else:
        yield ok(f"{who} signs with the same key as this process")


def _clock(who: str, seen: Snapshot) -> Iterator[Finding]:
    """Yield whether the host of a living cluster has another time than this one.

    A snapshot is at most a few rounds old, which is less than what is asked for here.
    """
    ahead = seen.at - time.time()
    oldest = lifetime(PAUSE)
    if ahead > SKEW or ahead < -(oldest + SKEW):
        yield skewed(who, ahead)


def _quarantine() -> Iterator[Finding]:
    if told := kept_elsewhere(RESULTS):
        yield _quarantine_elsewhere(told)
        return
    from ..models import Quarantine
    from ..models.quarantine import DROPPED

    packages = Quarantine.objects.exclude(reason=DROPPED)
    kept, dropped = packages.count(), Quarantine.dropped()
    if not kept:
        yield ok("no package is in quarantine")
        return
    last = packages.latest("at", "id")
    older = f"; {number(dropped)} older ones were dropped" if dropped else ""
    yield warning(
        f"{number(kept)} packages are in quarantine; the last at {last.at:%Y-%m-%d %H:%M}"
        f" UTC: {last.reason}{older}",
        "Look at them: qcore quarantine list, or Quarantined packages in the admin."
        " Then delete them, or sign your own packages again: qcore quarantine resign",
    )


def _quarantine_elsewhere(told: str) -> Finding:
    kept = current.store().quarantined()
    if kept is None:
        return ok(f"{told}; how many packages are in quarantine, it does not say")
    if not kept:
        return ok(f"{told}; no package is in quarantine")
    return warning(
        f"{number(kept)} packages are in quarantine; {told}",
        "Look at them with the means of that store, and at the log of the clusters.",
    )


def _schedules() -> Iterator[Finding]:
    if told := kept_elsewhere(SCHEDULES):
        yield ok(f"{told}; the log tells which of them cannot be fired")
        return
    from ..models import Schedule

    wrong = Schedule.objects.exclude(error="").order_by("pk")
    kept = wrong.count()
    if not kept:
        yield ok("no schedule has an error")
        return
    first = wrong[0]
    paused = wrong.filter(paused=True).count()
    yield warning(
        f"{plural(kept, 'schedule')} with an error, {number(paused)} of them paused; the"
        f" first is {mask_url(printable(str(first)))}:"
        f" {mask_url(printable(first.error[:200]))}",
        "Look at Scheduled tasks in the admin. Save a schedule there to have it tried"
        " again.",
    )
