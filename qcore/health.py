"""Health: a small file for each cluster of this machine, which a probe can read at once.

A probe of Kubernetes or of a load balancer starts a new process every few seconds. So it
must not load Django, and it must not need the broker or the cache: a cluster that waits for
its broker is alive. Each cluster writes what it publishes as its status into a file as well,
and ``qcore health`` reads these files.

The files are in the folder that the variable ``QCORE_RUN_DIR`` names, else in ``qcore``
below ``XDG_RUNTIME_DIR``, else in ``qcore-UID`` in the folder for temporary files. The name
of a file is the process id of the sentinel.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from .processes import lives

#: The environment variable that names the folder.
VARIABLE = "QCORE_RUN_DIR"
#: Seconds of silence after which a cluster counts as hung. A cluster writes every five
#: seconds (``status.PAUSE``); a machine under load, or one that swaps, is late.
HUNG = 60.0


class Health(NamedTuple):
    """What one cluster of this machine has said of itself last."""

    name: str  # of the project, ``Q_CLUSTER['name']``
    queue: str
    sentinel_pid: int
    dispatcher_pid: int
    state: str  # as in the status: "running", "stopping" and so on
    problem: str | None  # what keeps it from working, one line
    workers: int  # processes that are there
    ready: int  # of the workers: how many have started
    started: float  # seconds since the epoch
    written: float  # on this machine's monotonic clock, seconds
    lifetime: float  # seconds after which the next file is late

    @property
    def age(self) -> float:
        """Seconds since this was written; infinite where this machine has restarted since."""
        age = time.monotonic() - self.written
        return age if age >= 0 else float("inf")

    @property
    def has_gone(self) -> bool:
        """Whether the main process of the cluster is not there any more."""
        return not lives(self.sentinel_pid)

    def not_live(self) -> str | None:
        """Return why this cluster should be started again; None where it should not."""
        if self.has_gone:
            return f"its main process {self.sentinel_pid} has gone"
        if self.age > HUNG:
            return f"it has said nothing for {HUNG:.0f} s"
        return None

    def not_ready(self) -> str | None:
        """Return why this cluster does no tasks now; None where it does."""
        if why := self.not_live():
            return why
        if self.state in ("stopping", "stopped"):
            return "it is stopping"
        if self.problem:
            return self.problem
        if self.age > self.lifetime:
            return f"it has said nothing for {self.age:.0f} s"
        if not self.ready:
            return "no worker has started yet"
        return None


def folder() -> Path:
    """Return the folder of the files; see the module."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "qcore"
    try:
        below = tempfile.gettempdir()
    except FileNotFoundError:  # there is none that this process can write to
        below = "/tmp"  # noqa: S108 - as a place to look; the folder itself is checked
    return Path(below) / f"qcore-{os.getuid()}"


def write(health: Health) -> None:
    """Write the file of a cluster, in one step: a reader sees the old or the new one.

    Raises:
        OSError: the folder cannot be made or written, or is another user's.
    """
    place = folder()
    target = place / f"{health.sentinel_pid}.json"
    beside = target.with_suffix(".new")
    _make(place)
    try:
        beside.write_text(json.dumps(health._asdict()))
    except FileNotFoundError:  # the last other cluster has just taken the folder along
        _make(place)
        beside.write_text(json.dumps(health._asdict()))
    beside.replace(target)


def remove(sentinel_pid: int) -> None:
    """Remove the file of a cluster that has stopped, and those of clusters that have gone.

    The folder goes with the last file, unless the project has named it.
    """
    place = folder()
    for path, found in _read(place):
        if found.sentinel_pid == sentinel_pid or found.has_gone:
            with suppress(OSError):  # somebody else has removed it
                path.unlink()
    if not os.environ.get(VARIABLE):
        with suppress(OSError):  # it has other files
            place.rmdir()


def last_word(sentinel_pid: int) -> Health | None:
    """Return what one cluster has said; None where it could not write a file."""
    for _, found in _read(folder()):
        if found.sentinel_pid == sentinel_pid:
            return found
    return None


def read() -> list[Health]:
    """Return what the clusters of this machine have said, the oldest cluster first.

    Clusters that have gone without a word are left out where others of the same project
    and queue are there: whoever started those knows of it.
    """
    found = [health for _, health in _read(folder())]
    there = {(one.name, one.queue) for one in found if not one.has_gone}
    return sorted(
        (
            one
            for one in found
            if (one.name, one.queue) not in there or not one.has_gone
        ),
        key=lambda one: one.started,
    )


def _make(place: Path) -> None:
    """Make the folder, for this user alone; refuse one that somebody else could change."""
    with suppress(FileExistsError):
        place.mkdir(mode=0o700, parents=True)
    if os.environ.get(VARIABLE):
        return  # whoever names a folder decides who may write there
    about = place.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid():
        raise PermissionError(
            f"{place} is not a folder of this user. Set {VARIABLE} to a folder of yours."
        )


def _read(place: Path) -> Iterator[tuple[Path, Health]]:
    fields = Health._fields
    for path in sorted(place.glob("*.json")):
        try:
            written = json.loads(path.read_text())
            # a later release may say more
            yield path, Health(**{key: written[key] for key in fields})
        except (OSError, ValueError, TypeError, KeyError):
            continue  # gone since, or written by nobody that we know
