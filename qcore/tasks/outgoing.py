"""Outgoing: tasks that go through the outbox, so that a commit and its tasks stand together.

With a broker outside of the database, nothing can commit both. So the package is a row of
the database first, in the transaction of the caller. On commit the sender sends it, at
once and itself, and deletes the row; where that fails, or the sender is killed, the relay
of a cluster sends it (``ledger.relay``).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from ..brokers.base import Broker
from ..envelope import Task, new_id
from ..errors import BrokerError, BrokerUnavailable, EnqueueError, Unsupported
from ..masking import mask_url
from ..runtime import current

if TYPE_CHECKING:
    from ..runtime import OutboxLike

logger = logging.getLogger("qcore.sending")

#: Seconds for which a row belongs to its sender; after it, the relay may send the package.
TERM = 30.0
#: Seconds after which a sender that has not begun leaves its rows to the relay.
BEGIN_WITHIN = 20.0

#: Sends packages to the broker, or raises: the arguments are those of a batch.
Deliver = Callable[[Sequence[bytes], Sequence[Task]], None]


def outbox_of(broker: Broker, *, own: bool, needed: bool = False) -> OutboxLike | None:
    """Return the outbox that may be used for what goes to a broker; None: none.

    Args:
        broker: where the packages go.
        own: whether it is the project's own, which the relay can make again.
        needed: whether it is used whatever the setting says: what a plugin has written
            for the tasks is committed before they are sent, and they must not get lost.
    """
    # What does not block is in this process, where a relay would not find it.
    declined = current.conf.outbox is False and not needed
    if declined or not own or not broker.blocks:
        return None
    outbox = current.outbox
    if outbox is None or outbox.database == broker.database:
        return None
    return outbox if outbox.is_usable else None


def can_delay(broker: Broker, delay: float) -> bool:
    """Whether a broker can itself keep a package back for so long (seconds)."""
    try:
        broker.check_delay(delay)
    except Unsupported:
        return False
    return True


def relayed(tasks: Sequence[Task]) -> list[Task]:
    """Return tasks as the outbox has them: it may send each of them twice."""
    return [msgspec.structs.replace(task, relayed=True) for task in tasks]


class Outgoing:
    """Tasks of one call on their way through the outbox.

    Args:
        outbox: that of this thread.
        tasks: all for one queue.
        packages: of the tasks, in the same order.
        delay: seconds before they may run.
    """

    def __init__(
        self,
        outbox: OutboxLike,
        tasks: Sequence[Task],
        packages: Sequence[bytes],
        delay: float,
    ) -> None:
        self._outbox = outbox
        self._tasks = tasks
        self._packages = packages
        self._delay = delay
        self._token = new_id()
        self._written = 0.0

    def leave(self) -> None:
        """Write the rows for the relay, which sends them when their delay is over.

        Raises:
            BrokerUnavailable, EnqueueError: as ``write``.
        """
        self._write(self._delay, None)

    def write(self) -> None:
        """Write the rows, claimed by this sender.

        If the sender dies, the relay sends what may run by then.

        Raises:
            BrokerUnavailable: the database does not answer.
            EnqueueError: the database does not take the packages.
        """
        self._written = time.monotonic()
        self._write(max(TERM, self._delay), self._token)

    def _write(self, delay: float, token: str | None) -> None:
        from django.db import Error, InterfaceError, OperationalError

        entries = [
            (task.queue, task.id, package, task.gen)
            for task, package in zip(self._tasks, self._packages, strict=True)
        ]
        try:
            self._outbox.write(entries, delay=delay, token=token)
        except Error as error:
            passing = isinstance(error, (OperationalError, InterfaceError))
            raise (BrokerUnavailable if passing else EnqueueError)(
                f"cannot send {named(self._tasks)}: the outbox in database"
                f" {self._outbox.database!r} does not take it:"
                f" {type(error).__name__}: {mask_url(str(error))}"
            ) from error

    def send(self, deliver: Deliver) -> None:
        """Send what was written, and delete the rows; what cannot be sent stays.

        Args:
            deliver: sends to the broker.
        """
        if time.monotonic() - self._written > BEGIN_WITHIN:
            return  # the relay is about to have them, or has sent them
        ids = [task.id for task in self._tasks]
        sent = len(ids)
        try:
            deliver(self._packages, self._tasks)
        except BaseException as error:
            sent = error.stored if isinstance(error, BrokerError) else 0
            logger.warning(
                "not sent now, and left in the outbox: %s (%s)",
                named(self._tasks[sent:]), type(error).__name__,
                exc_info=None if isinstance(error, BrokerError) else error,
            )  # fmt: skip
            if not isinstance(error, Exception):
                raise
        finally:
            self._settle(ids[:sent], ids[sent:])

    def _settle(self, sent: Sequence[str], left: Sequence[str]) -> None:
        """Delete the rows of what was sent, and give up those of what was not."""
        from django.db import Error

        try:
            self._outbox.delete_tasks(self._token, sent)
            self._outbox.put_off_tasks(self._token, left, self._delay)
        except Error as error:
            # the claim ends by itself, and what is sent twice then has the same id
            logger.warning(
                "the outbox cannot be cleared of %s: %s",
                named(self._tasks), type(error).__name__,
            )  # fmt: skip


#: Tasks that a log line names.
_NAMED = 10


def named(tasks: Sequence[Task]) -> str:
    """Return the text of a log line about tasks: function and id of the first task."""
    names = ", ".join(f"{task.func} id={task.id}" for task in tasks[:_NAMED])
    left = len(tasks) - _NAMED
    return f"{names} and {left:,} more" if left > 0 else names
