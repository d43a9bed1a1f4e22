"""Moves: sends claimed tasks again as new packages, or parks them in the outbox.

A move is written in the transaction of whatever decides it. The caller has locked the
ticket of the task, raises its gen by one, and has the old package acknowledged after the
commit: an old package that comes back is known by its lower gen, and dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ..clock import wall
from ..runtime import current
from ..settled import Follower

if TYPE_CHECKING:
    from ..envelope import Task


class Move(NamedTuple):
    """A task that is sent again later, or that a plugin holds."""

    task: Task  # as it was claimed
    after: float | None  # seconds until it is sent; None: not before its holder says so
    held_by: str | None = None  # the plugin that holds it, by its entry point


def follower_of(move: Move, sign: Callable[[Task], bytes]) -> Follower:
    """Return the row of the outbox that a move writes: the next package of the task.

    A task that is held wakes by itself where it expires: then it ends.

    Args:
        move: what is moved.
        sign: makes the package of a task.

    Raises:
        PackageError: the package would be too large.
    """
    task, after = move.task, move.after
    following = msgspec.structs.replace(task, gen=task.gen + 1, relayed=True)
    if task.expires is not None:
        left = max(0.0, task.expires - wall())
        after = left if after is None else min(after, left)
    return Follower(
        task.queue,
        task.id,
        sign(following),
        following.gen,
        after,
        held_by=move.held_by,
    )


def write_moves(moves: Sequence[Move], sign: Callable[[Task], bytes]) -> None:
    """Write the rows of moves, in the transaction of the ledger that is open.

    The caller writes the tickets. ``wake`` of ``qcore.runtime.current.ledger`` has the
    relay send what a plugin holds.

    Raises:
        PackageError: a package would be too large; nothing is written.
        django.db.Error: the database does not take it.
    """
    if not moves:
        return  # nearly always
    outbox = current.outbox
    assert outbox is not None, (
        "without a ledger, nothing is claimed that could be moved"
    )
    outbox.write_followers([follower_of(move, sign) for move in moves], "")
