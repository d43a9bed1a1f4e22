"""Every exception qcore raises on purpose, in one tree.

::

    QcoreError
    ├── ConfigError               Q_CLUSTER or an option of a plugin is wrong
    ├── PluginError
    │   ├── PluginMissing         a setting asks for a plugin that is not installed
    │   ├── PluginBroken          it is installed and cannot be loaded
    │   │   └── PluginUnready     its tables are missing until somebody runs `migrate`
    │   ├── PluginFailed          it fails on one task again and again
    │   └── PluginConflict        two plugins give the same thing, or claim the same setting
    ├── BrokerError
    │   ├── BrokerUnavailable     the service cannot be reached, now; trying again may help
    │   │   └── NoReply           a call was sent, and no reply came: it may have been done
    │   ├── PayloadTooLarge       a package is over the limit of the service
    │   └── Unsupported           the broker does not have this capability
    ├── EnqueueError              a task cannot be sent as it is; raised at the call
    ├── CallError                 a call has a wrong argument, or would block an event loop
    ├── SerializeError            a value cannot be turned into bytes; says where and why
    ├── PackageError
    │   ├── BadPackage            bytes from the queue that are not a package
    │   │   └── NewerPackage      a package of a later release, for a later cluster
    │   └── BadSignature          a package that none of our keys has signed
    ├── TaskError
    │   ├── Retry                 raised by a task: run me again, in so many seconds
    │   ├── Snooze                the same; the attempt does not count
    │   ├── Discard               raised by a task: I am not worth another attempt
    │   ├── TaskNotFound          the name of the task leads to no function
    │   ├── TaskTimeout           raised inside a task when its time is up
    │   ├── TaskCancelled         raised inside a task that somebody has cancelled
    │   ├── TaskStopped           raised inside a task when its cluster must stop
    │   ├── TaskExpired           recorded for a task that had not started in time
    │   └── WorkerDied            recorded for a task whose worker process died
    ├── StoreError                results cannot be saved or read
    │   ├── StoreUnavailable      the store cannot be reached, now; trying again may help
    │   │   └── StoreBusy         a lock, or a time limit of a statement; trying again helps
    │   └── StoreRefused          the store can never take this value
    └── LedgerError               the ledger's database does not take or tell something, now
        └── LedgerBusy            another transaction goes first; trying again helps

Messages say what happened, what was expected, and what to type.
"""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Iterable


class QcoreError(Exception):
    """Base class of all errors that qcore raises on purpose."""


class ConfigError(QcoreError):
    """A setting is unknown, has the wrong type or range, or contradicts another."""


class PluginError(QcoreError):
    """Something is wrong with a plugin."""


class PluginMissing(PluginError):
    """A setting asks for a plugin that is not installed."""


class PluginBroken(PluginError):
    """A plugin is installed but cannot be loaded."""


class PluginUnready(PluginBroken):
    """Tables of a plugin are missing, until somebody runs ``migrate``."""


class PluginFailed(PluginError):
    """A plugin fails on one task again and again, and the task goes to the quarantine."""


class PluginConflict(PluginError):
    """Two plugins claim one name, or the settings choose two brokers."""


class BrokerError(QcoreError):
    """A queue service refused or failed.

    The error of a call that sends packages says how far the call came. In the order of
    the call, the first ``stored`` packages are stored, the next ``unsure`` packages may be
    stored, and the rest is not stored. ``task_ids`` has the ids of the tasks in the same
    order; it is empty for a call of a broker's own methods.
    """

    stored: int = 0
    unsure: int = 0
    task_ids: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return what happened and, if anything may be stored, how far the call came."""
        text = super().__str__()
        if not (self.stored or self.unsure):
            return text
        if (self.stored, self.unsure) == (0, 1):
            return f"{text} It is not known whether the package is stored."
        return (
            f"{text} Of the packages of this call, {self.stored:,} are stored. It is not"
            f" known whether {self.unsure:,} more are stored. The rest is not stored."
        )


class BrokerUnavailable(BrokerError):
    """The queue service cannot be reached; the same call may succeed later."""


class NoReply(BrokerUnavailable):
    """A call was sent and no reply came: it is not known whether the service did it.

    The same call again may store its packages twice.
    """


class PayloadTooLarge(BrokerError):
    """A package is larger than the queue service accepts."""


class Unsupported(BrokerError):
    """A broker was asked for something that its capability flags deny."""


class EnqueueError(QcoreError):
    """A task cannot be sent as it is: its function or its arguments are the reason."""


class CallError(QcoreError):
    """A call has a wrong argument, or would block an event loop."""


class SerializeError(QcoreError):
    """A value cannot be turned into bytes by the serializer in use.

    ``reason`` is the fact, ``path`` leads from the value to the part that is refused
    (``[0]['user']``; empty when the value itself is refused), and ``hint`` says what
    to pass instead.
    """

    def __init__(self, reason: str, path: str = "", hint: str = "") -> None:
        # All three go to args, so that the error survives pickle and copy.
        super().__init__(reason, path, hint)
        self.reason = reason
        self.path = path
        self.hint = hint

    def __str__(self) -> str:
        """Return the place, the fact and the advice as one sentence."""
        place = f"{self.path}: " if self.path else ""
        advice = f" - {self.hint}" if self.hint else ""
        return f"{place}{self.reason}{advice}"


class PackageError(QcoreError):
    """Bytes from the queue cannot be trusted or understood."""


class BadPackage(PackageError):
    """Bytes from the queue are not a package that this version understands."""


class NewerPackage(BadPackage):
    """A package was written by a later release; a cluster of that release can run it."""


class PluginLacking(PackageError):
    """A task needs a plugin that this cluster lacks.

    Args:
        task_id: of the task.
        plugin: the name of its entry point.
    """

    def __init__(self, task_id: str, plugin: str) -> None:
        super().__init__(
            f"the task {task_id} needs the plugin {plugin!r}, which this cluster lacks."
            " Install it in the environment of this cluster (`qcore plugins` lists what is"
            " there)."
        )
        self.task_id = task_id
        self.plugin = plugin


class BadSignature(PackageError):
    """A package was signed with none of the keys in use, or was changed on the way."""


class TaskError(QcoreError):
    """A task could not be run to its end."""


class _Again(TaskError):
    """What a task raises to be run again; ``after`` is a number of seconds."""

    def __init__(
        self, why: str = "", *, after: float | dt.timedelta | None = None
    ) -> None:
        if isinstance(after, dt.timedelta):
            after = after.total_seconds()
        is_number = isinstance(after, (int, float)) and not isinstance(after, bool)
        if after is not None and not (is_number and 0 <= after <= 1_000_000_000):
            raise ValueError(
                f"{type(self).__name__}: after is {after!r}, expected seconds >= 0 (at"
                " most 1,000,000,000) or a timedelta"
            )
        super().__init__(why or "the task has asked for another attempt")
        self.after = None if after is None else float(after)


class Retry(_Again):
    """Raised by a task: run this task again. The attempt counts for ``max_attempts``.

    Args:
        why: for the stored result and the log.
        after: seconds, or a timedelta; None waits as the policy of the task says.
    """


class Snooze(_Again):
    """Raised by a task: run this task again later. The attempt does not count.

    Args:
        why: for the log; nothing is stored.
        after: seconds, or a timedelta.
    """

    def __init__(self, why: str = "", *, after: float | dt.timedelta) -> None:
        if after is None:
            raise ValueError("Snooze: after is None, expected seconds or a timedelta")
        super().__init__(why, after=after)


class Discard(TaskError):
    """Raised by a task: another attempt is of no use. The task ends as ``discarded``."""

    def __init__(self, why: str = "") -> None:
        super().__init__(why or "the task has discarded itself")


class TaskNotFound(TaskError):
    """The dotted path of a task leads to no function."""


class TaskTimeout(TaskError):
    """Raised inside a task by its worker when its ``timeout`` (seconds) has passed."""


class TaskExpired(TaskError):
    """Recorded as the outcome of a task that had not started by its ``expires``."""


class TaskStopped(TaskError):
    """Raised inside a task when its cluster has to stop; the task will run again."""

    #: Seconds before it may be claimed again, where the broker can delay that.
    after: float = 0.0


class LeaseLost(TaskStopped):
    """Raised inside a task that another delivery of it is running now, or has ended.

    The delivery is given back, and nothing is stored: the other one goes on.

    Args:
        why: for the log.
        after: seconds before this delivery may be claimed again.
    """

    def __init__(self, why: str = "", *, after: float = 0.0) -> None:
        super().__init__(why or "another delivery of the task is running it")
        self.after = after


class Suspend(BaseException):
    """Raised by a plugin inside a task: the task leaves its worker, and goes on later.

    The package of the task becomes a row of the outbox in the transaction in which the
    plugin is told (``qcore_settle``, outcome "suspended"); then its delivery is
    acknowledged. The row is sent when its time has come, or when the plugin wakes the task
    (``qcore.runtime.current.ledger.wake``). Then the task runs from its beginning: what it
    must remember, the plugin has to store before it raises this.

    It is no ``Exception``, so that a task with ``except Exception`` does not swallow it.
    ``finally`` blocks run. The attempts of the task count anew after it.

    Args:
        plugin: the name of the entry point of the plugin, which the task must need
            (``NewTask.need``).
        after: seconds until the task goes on if nobody wakes it; None: not before.
    """

    def __init__(self, plugin: str, *, after: float | None = None) -> None:
        super().__init__("the task waits outside of a worker")
        self.plugin = plugin
        self.after = after


class TaskCancelled(TaskError):
    """Raised inside a task that somebody has cancelled; the task never runs again."""


#: What comes from outside, at any line: whoever guards the call of a plugin lets it through.
#: Everything else that a plugin raises, ``sys.exit`` too, is the plugin's own error.
INTERRUPTS = (KeyboardInterrupt, TaskTimeout, TaskStopped, TaskCancelled, Suspend)


class WorkerDied(TaskError):
    """Recorded as the outcome of a task whose worker process died under it."""


class StoreError(QcoreError):
    """Results cannot be saved or read.

    The plain class means: the store does not know whether a later try can succeed.
    """


class StoreUnavailable(StoreError):
    """The database or cache cannot be reached now; the same call may succeed later."""


class StoreBusy(StoreUnavailable):
    """Somebody else holds a lock on what is to be written, or a time limit was over.

    The same call may succeed later, however often it has failed.
    """


class StoreRefused(StoreError):
    """The store can never take this value; the same call always fails."""


class LedgerError(QcoreError):
    """The database of the ledger does not take or tell something; nothing was changed."""


class LedgerBusy(LedgerError):
    """Another transaction of the ledger's database goes first; trying again helps."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` - did you mean 'x'?`` for the nearest of ``known``, or ``""``."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" - did you mean {near[0]!r}?" if near else ""


def sentence(text: str) -> str:
    """Return a text with a full stop, unless it ends with a question mark."""
    return text if text.endswith("?") else f"{text}."
