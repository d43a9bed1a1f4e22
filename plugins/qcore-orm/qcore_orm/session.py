"""Runs statements on Django's connection of this thread, and handles their errors."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

from django.db import connections, transaction
from django.db.utils import Error

from qcore.errors import (
    BrokerError,
    BrokerUnavailable,
    ConfigError,
    NoReply,
    did_you_mean,
)

from .failures import PATIENCE, cause, pauses, translate

if TYPE_CHECKING:
    from .statements import Cursor, Statements

T = TypeVar("T")

#: Django's name of a kind of database -> the class of its statements.
VENDORS = {
    "postgresql": ".postgresql:PostgresStatements",
    "sqlite": ".sqlite:SQLiteStatements",
    "mysql": ".mysql:MySQLStatements",
}


class Session:
    """The statements of one queue, run with retries and with the contract's errors.

    Args:
        alias: the database; nothing is connected yet.
        queue: name of the queue.

    Raises:
        ConfigError: there is no such database, or none that holds a queue.
    """

    def __init__(self, alias: str, queue: str) -> None:
        if alias not in connections.settings:
            known = sorted(connections.settings)
            raise ConfigError(
                f"Q_CLUSTER['orm'] is {alias!r}, which is not in DATABASES"
                f" ({', '.join(known)}){did_you_mean(alias, known)}"
            )
        self._connection = connections[alias]
        self.statements = self._make(queue)
        self._known_version = False

    def _make(self, queue: str) -> Statements:
        vendor = self._connection.vendor
        if vendor not in VENDORS:
            raise ConfigError(
                f"Q_CLUSTER['orm'] is {self._connection.alias!r}, a database of the kind"
                f" {vendor!r}. The queue needs one of: {', '.join(VENDORS)}"
            )
        module, _, name = VENDORS[vendor].partition(":")
        made: Statements = getattr(import_module(module, __package__), name)(
            self._connection, queue
        )
        return made

    def run(self, work: Callable[[Cursor], T], *, atomic: bool = False) -> T:
        """Return what ``work`` returns for a cursor.

        Args:
            work: may be called again where it met a lock, so it must leave nothing
                behind outside of the database when it raises.
            atomic: do it in a transaction of its own; one statement has its own anyway.

        Raises:
            NoReply: the connection broke; whether it was done is not known.
            BrokerUnavailable: the database cannot be reached, or stayed locked.
            BrokerError: tables are missing, the server is too old, a statement failed.
        """
        deadline = time.monotonic() + PATIENCE
        for pause in pauses():
            # a transaction of ours that breaks lets the connection go
            reached = atomic and self._connection.connection is not None
            try:
                return self._once(work, atomic=atomic)
            except Error as error:
                again = self._may_repeat(error) and time.monotonic() < deadline
                if not again:
                    self._give_up(error, reached=reached)
            time.sleep(pause)
        raise AssertionError("pauses never end")

    def _once(self, work: Callable[[Cursor], T], *, atomic: bool) -> T:
        around = transaction.atomic(using=self._connection.alias) if atomic else None
        with around or nullcontext(), self.statements.cursor() as cursor:
            if not self._known_version:
                self._check_version()
            return work(cursor)

    def _check_version(self) -> None:
        refusal = self.statements.refusal()
        if refusal:
            raise BrokerError(f"the database {self._connection.alias!r} is {refusal}")
        self._known_version = True

    def _may_repeat(self, error: Error) -> bool:
        # Inside the caller's transaction only the caller can begin again.
        return not self._connection.in_atomic_block and self.statements.is_busy(
            cause(error)
        )

    def _give_up(self, error: Error, *, reached: bool) -> None:
        told = translate(error, self.statements)
        if isinstance(told, BrokerUnavailable):
            if self._may_be_done(error, reached=reached):
                told = NoReply(*told.args)
            self.close()  # the next call connects anew
        raise told from error

    def _may_be_done(self, error: Error, *, reached: bool) -> bool:
        """Whether what was asked may have been done although it failed.

        So it is where the connection broke on the way. What the server refused is undone,
        and so is all that belongs to a transaction of the caller.
        """
        return (
            (reached or self._connection.connection is not None)
            and not self._connection.in_atomic_block
            and self.statements.is_broken(cause(error))
        )

    def close(self) -> None:
        """Close the connection, unless a transaction of the caller is open on it."""
        if not self._connection.in_atomic_block:
            self._connection.close()
