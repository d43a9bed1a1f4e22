"""Runs in: every process. What sentinel, dispatcher and workers say to each other."""

from __future__ import annotations

import signal
import struct
from collections.abc import Callable

import msgspec

from ...envelope import Attempt
from ...status import Progress

#: What tells a worker to stop its task. Not SIGTERM: a service manager may send that to
#: every process of the cluster at once, when only the sentinel should answer.
SOFT_STOP = signal.SIGUSR2
#: What tells a worker to end its task for good. By default it does nothing, so it cannot
#: hurt a process that has no handler yet, or any more.
SOFT_CANCEL = signal.SIGURG

# -- dispatcher -> worker ------------------------------------------------------------
# One byte of kind, eight of number and four of attempt, then the package; a follow-up
# has the attempt's frame, with its length, before the package. LINK is a follow-up
# without the hook: only the next link of the chain is made. HOOK is one without the next
# link: its package is there, or was sent. RETRIED is a follow-up of an attempt that was
# not the last one.
RUN, FOLLOW_UP, RETRIED, LINK, HOOK, END = b"R", b"F", b"T", b"L", b"H", b"E"
_HEAD = struct.Struct("!cQI")
HEAD_SIZE = _HEAD.size
_SIZE = struct.Struct("!I")


def pack_run(package: bytes, attempt: int, number: int) -> bytes:
    """Return the order to run a package."""
    return _HEAD.pack(RUN, number, attempt) + package


def pack_follow_up(
    package: bytes,
    attempt: int,
    number: int,
    ended: Attempt,
    *,
    hook: bool = True,
    final: bool = True,
    link: bool = True,
) -> bytes:
    """Return the order for the follow-up of a stored result.

    Args:
        package: of the task.
        attempt: which one has ended, from 1.
        number: of the order.
        ended: how the attempt has ended.
        hook: whether the hook is called.
        final: whether the task is not run again.
        link: whether the next link of the chain is made.
    """
    frame = _encode(ended)
    if not hook:
        kind = LINK
    elif not final:
        kind = RETRIED
    else:
        kind = FOLLOW_UP if link else HOOK
    head = _HEAD.pack(kind, number, attempt)
    return head + _SIZE.pack(len(frame)) + frame + package


def number_of(head: bytes) -> int:
    """Return the number of the order that begins with ``HEAD_SIZE`` such bytes."""
    number: int = _HEAD.unpack(head)[1]
    return number


class Order(msgspec.Struct):
    """What a worker is told to do."""

    kind: bytes
    number: int  # among the orders of this worker, from 1; its reply says it
    attempt: int
    package: bytes
    ended: Attempt | None


def unpack_order(frame: bytes) -> Order:
    """Return the order in a frame."""
    kind, number, attempt = _HEAD.unpack_from(frame)
    start = _HEAD.size
    if kind not in (FOLLOW_UP, RETRIED, LINK, HOOK):
        return Order(kind, number, attempt, frame[start:], None)
    (size,) = _SIZE.unpack_from(frame, start)
    start += _SIZE.size
    ended = _decode_attempt(frame[start : start + size])
    return Order(kind, number, attempt, frame[start + size :], ended)


PACKED_END = _HEAD.pack(END, 0, 0)


# -- worker -> dispatcher ------------------------------------------------------------
class Reply(msgspec.Struct, frozen=True, array_like=True):
    """What a worker sends when it has carried out an order."""

    ended: Attempt | None  # None after a follow-up
    done: int  # tasks since the worker started
    rss: int  # kB, 0 while not measured
    retires: bool = False  # it takes no more and ends now
    next_package: bytes | None = None  # of a success: the next link of its chain
    order: int = 0  # the number of what it was told


#: The first byte of a frame that is no reply: the worker goes on with its task.
PROGRESS = b"P"

#: The first word of a worker: it has come up and waits for orders.
READY = Reply(ended=None, done=0, rss=0)


_encode = msgspec.msgpack.Encoder().encode
_decode_attempt = msgspec.msgpack.Decoder(Attempt).decode
_decode_progress = msgspec.msgpack.Decoder(Progress).decode


#: Returns the frame of a reply. (A function around it would cost each task a call.)
pack_reply: Callable[[Reply], bytes] = _encode

#: Returns the reply in a frame; raises ``msgspec.MsgspecError``.
unpack_reply: Callable[[bytes], Reply] = msgspec.msgpack.Decoder(Reply).decode


def pack_progress(progress: Progress) -> bytes:
    """Return the frame with the progress of the task that a worker runs.

    It is small, and so it is written at once: a signal cannot come into the middle of it.
    """
    return PROGRESS + _encode(progress)


def unpack_progress(frame: bytes) -> Progress:
    """Return the progress in such a frame."""
    return _decode_progress(frame[len(PROGRESS) :])


# -- sentinel <-> dispatcher -----------------------------------------------------------
class WorkerStarted(msgspec.Struct, frozen=True, tag=True):
    """A worker has been forked; its socket and both ends of its prefetch queue come with this frame."""

    pid: int
    index: int
    fds: int  # how many: without a prefetch queue only one


class WorkerExited(msgspec.Struct, frozen=True, tag=True):
    """A worker has been reaped; ``status`` is what waitpid gave."""

    pid: int
    status: int
    killed: bool = False  # by the sentinel, and it lived until then


class Ready(msgspec.Struct, frozen=True, tag=True):
    """A worker has come up; should it die now, its start is not to blame."""

    pid: int


class Stop(msgspec.Struct, frozen=True, tag=True):
    """Stop in order within ``grace`` seconds; 0 means now."""

    grace: float


class ReplaceWorkers(msgspec.Struct, frozen=True, tag=True):
    """Replace every worker after the task that it is running."""


class Kill(msgspec.Struct, frozen=True, tag=True):
    """Send a signal to a worker. Only the sentinel knows which pids are still ours."""

    pid: int
    signal: int


class Drained(msgspec.Struct, frozen=True, tag=True):
    """The queue is empty and nothing is left to do; the answer to ``run_once``."""


Control = WorkerStarted | WorkerExited | Ready | Stop | ReplaceWorkers | Kill | Drained
_decode_control = msgspec.msgpack.Decoder(Control).decode


def pack_control(message: Control) -> bytes:
    """Return the frame of a message between sentinel and dispatcher."""
    return _encode(message)


def unpack_control(frame: bytes) -> Control:
    """Return the message in such a frame."""
    message: Control = _decode_control(frame)
    return message
