"""A broker whose queue is a folder and whose packages are files in it.

All that is known of a package is in the name of its file::

    <id>.<attempt>.<state>.<visible from, milliseconds since the epoch>
    000018c3f2a4d1e0b712-9f3c61d2.0.waiting.0
    000018c3f2a4d1e0b712-9f3c61d2.1.claimed.1732377600000

To claim, extend or release a package is to rename its file. The system lets one
process do that, and the others find the old name gone, so nothing needs a lock.

To make it yours, put your service in place of the folder: the options in `__init__`,
what the public methods do, and `_service`, which gives errors of the service their
names in qcore. The options are described in `qcore_settings`. What stands below ``# -- files`` goes.
"""

from __future__ import annotations

import math
import re
import shutil
import time
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from qcore import Broker, Delivery
from qcore.errors import BrokerUnavailable, ConfigError

if TYPE_CHECKING:
    from qcore import Conf

# of a file that is a package, and of no other
NAME = re.compile(
    r"([0-9a-f]+-[0-9a-f]+)\.([0-9]{1,9})\.(waiting|claimed)\.([0-9]{1,18})"
)


class Entry(NamedTuple):
    """The name of a file, taken apart."""

    id: str
    attempt: int
    state: str  # "waiting" or "claimed"
    visible: int  # when it may be claimed, milliseconds since the epoch

    def __str__(self) -> str:
        """Return the name of the file."""
        return ".".join(map(str, self))


class ExampleBroker(Broker):
    """Keeps packages as files in a folder that the processes of a project share."""

    # What is not named here is off, and the base class refuses it.
    supports_release = True
    supports_delay = True
    supports_extend = True
    supports_order = True
    supports_delete = True
    supports_counts = True
    supports_durable = True

    def __init__(self, conf: Conf, queue: str | None = None) -> None:
        """Check the options; the folder is not touched before it is needed."""
        super().__init__(conf, queue)
        self.max_payload = conf.max_payload
        options = conf.options.get("example") or {}
        if not isinstance(options.get("path"), str):
            raise ConfigError(
                "Q_CLUSTER['example']['path'] must be the path of a folder"
            )
        # a queue may be called "../x"; quoted and prefixed it is one plain name
        self.folder = Path(options["path"], "queue-" + quote(self.queue, safe=""))

    # -- sending -----------------------------------------------------------
    def enqueue_many(self, packages: Sequence[bytes], *, delay: float = 0) -> list[str]:
        self.check_size(packages)
        ids = []
        with self._service():
            for package in packages:
                # ids ascend in time, which makes the order of the queue
                id = f"{time.time_ns():020x}-{token_hex(4)}"
                draft = self.folder / f"{id}.draft"
                draft.write_bytes(package)
                # only complete packages have names that `_entries` reads
                name = Entry(id, 0, "waiting", _in(delay) if delay else 0)
                draft.rename(self.folder / str(name))
                ids.append(id)
        return ids

    # -- receiving ---------------------------------------------------------
    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        """Claim one package. A folder does not tell of new files: ``wait`` is unused."""
        with self._service():
            for entry in self._entries():
                if entry.visible > _in(0):
                    continue
                lease_end = time.monotonic() + self.lease
                claimed = Entry(entry.id, entry.attempt + 1, "claimed", _in(self.lease))
                if not self._rename(entry, claimed):
                    continue
                package = (self.folder / str(claimed)).read_bytes()
                receipt = (claimed.id, claimed.attempt)
                return [Delivery(receipt, package, claimed.attempt, lease_end)]
        return []

    def acknowledge_many(self, receipts: Sequence[Hashable]) -> None:
        done = {receipt[0] for receipt in receipts if isinstance(receipt, tuple)}
        with self._service():
            for entry in self._entries():
                if entry.id in done:
                    self._remove(entry)

    def release(self, receipts: Sequence[Hashable], *, delay: float = 0) -> None:
        with self._service():
            for held in self._held(receipts).values():
                visible = _in(delay) if delay else 0
                self._rename(held, held._replace(state="waiting", visible=visible))

    def extend(self, receipts: Sequence[Hashable]) -> set[Hashable]:
        with self._service():
            kept = {
                receipt
                for receipt, held in self._held(receipts).items()
                if self._rename(held, held._replace(visible=_in(self.lease)))
            }
        return set(receipts) - kept

    # -- looking after -----------------------------------------------------
    def delete(self, id: str) -> bool:
        with self._service():
            found = [one for one in self._waiting() if one.id == id]
            return any(self._remove(entry) for entry in found)

    def queue_size(self) -> int:
        with self._service():
            return len(self._waiting())

    def lock_size(self) -> int:
        with self._service():
            return len(self._entries()) - len(self._waiting())

    def purge_queue(self) -> None:
        with self._service():
            shutil.rmtree(self.folder)

    def ping(self) -> bool:
        with self._service():
            return True

    def info(self) -> str:
        with self._service():
            return f"folder {self.folder.parent}"

    # -- files -------------------------------------------------------------
    @contextmanager
    def _service(self) -> Iterator[None]:
        """Make sure of the folder, and give errors of the file system our name."""
        try:
            # its parent is the project's to make: on a disk that is not mounted,
            # packages would be lost to sight
            self.folder.mkdir(exist_ok=True)
            yield
        except OSError as error:
            raise BrokerUnavailable(
                f"the folder {self.folder} cannot be used: {error.strerror}."
                " Check that Q_CLUSTER['example']['path'] exists and can be written."
            ) from error

    def _entries(self) -> list[Entry]:
        files = (path for path in self.folder.iterdir() if path.is_file())
        # what somebody else has put there is left alone, as a draft is
        found = map(NAME.fullmatch, sorted(path.name for path in files))
        parts = [name.groups() for name in found if name]
        return [Entry(id, int(n), state, int(at)) for id, n, state, at in parts]

    def _waiting(self) -> list[Entry]:
        now = _in(0)
        return [e for e in self._entries() if e.state == "waiting" or e.visible <= now]

    def _held(self, receipts: Sequence[Hashable]) -> dict[Hashable, Entry]:
        """Return the claims in force among ``receipts``."""
        now = _in(0)
        claims = {
            (entry.id, entry.attempt): entry
            for entry in self._entries()
            if entry.state == "claimed" and entry.visible > now
        }
        return {receipt: claims[receipt] for receipt in receipts if receipt in claims}

    def _rename(self, old: Entry, new: Entry) -> bool:
        try:
            (self.folder / str(old)).rename(self.folder / str(new))
        except FileNotFoundError:
            return False  # somebody else was faster
        return True

    def _remove(self, entry: Entry) -> bool:
        try:
            (self.folder / str(entry)).unlink()
        except FileNotFoundError:
            return False
        return True


def _in(seconds: float) -> int:
    """Return the moment ``seconds`` from now in milliseconds since the epoch.

    A future moment is rounded up, the present down, so that no lease ends early.
    """
    return math.ceil((time.time() + seconds) * 1000) - (not seconds)
