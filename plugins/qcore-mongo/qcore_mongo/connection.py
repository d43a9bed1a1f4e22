"""The way to the database: a shared client, time limits, errors in qcore's words."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, TypeVar

import pymongo
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from pymongo.database import Database
from pymongo.errors import (
    AutoReconnect,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference

from qcore.errors import BrokerError, BrokerUnavailable, ConfigError, NoReply
from qcore.masking import mask_url

from .clients import Client, clients
from .errors import progress, translate
from .options import Options

T = TypeVar("T")
Queues = Database[dict[str, Any]]


class Connection:
    """The database of the queues, for one broker.

    Raises:
        ConfigError: the driver does not accept the options.
    """

    def __init__(self, options: Options) -> None:
        self.address = options.address
        self._options = options
        self._client: Client | None = None
        self._pid = 0
        self._database: Queues | None = None
        self._open()

    def run(
        self,
        work: Callable[[Queues], T],
        seconds: float | None = None,
        *,
        again: bool = False,
        writes: bool = False,
    ) -> T:
        """Return what ``work`` makes of the database.

        Args:
            work: one or more calls of the driver.
            seconds: that they may take together, retries of the driver included. None
                leaves each to the timeouts of the client, as does a project that sets
                one of those.
            again: try once more when the connection breaks, because doing it twice is
                doing it once; the driver itself repeats reads and single writes.
            writes: it stores packages, and its error must say how many of them.

        Raises:
            NoReply: whether it was done is not known.
            BrokerUnavailable: the server cannot be reached.
            BrokerError: the server refused.
        """
        try:
            with self._limit(seconds):
                return self._twice(work) if again else work(self._queues())
        except OperationFailure as error:
            # Its own text prints the command, and with it whole packages.
            raise self._translated(error, writes=writes) from None
        except (PyMongoError, BSONError, OSError) as error:
            raise self._translated(error, writes=writes) from error

    def _twice(self, work: Callable[[Queues], T]) -> T:
        try:
            return work(self._queues())
        except (NetworkTimeout, ServerSelectionTimeoutError):
            raise  # the time is up
        except AutoReconnect:
            return work(self._queues())

    def close(self) -> None:
        """Let the client go; the next call borrows it again."""
        client, self._client, self._database = self._client, None, None
        if client is not None and self._pid == os.getpid():
            with suppress(PyMongoError, OSError):  # it says goodbye to the server
                clients.give_back(client)

    def _queues(self) -> Queues:
        if self._database is None or self._pid != os.getpid():
            return self._open()
        return self._database

    def _open(self) -> Queues:
        options = self._options
        try:
            client = clients.borrow(options.arguments)
        except (PyMongoError, TypeError, ValueError, OSError) as error:
            raise ConfigError(f"Q_CLUSTER['mongo']: {mask_url(str(error))}") from None
        self._client, self._pid = client, os.getpid()
        try:
            self._database = self._with_our_options(client)
        except ConfigError:
            self.close()
            raise
        return self._database

    def _with_our_options(self, client: Client) -> Queues:
        """Return the database, without what the project set for documents of its own."""
        try:
            return client.get_database(
                self._options.database,
                # what somebody else has put there must not keep us from reading ours
                codec_options=CodecOptions(
                    unicode_decode_error_handler="replace",
                    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
                ),
                # a claim must see what it has just written
                read_preference=ReadPreference.PRIMARY,
                read_concern=ReadConcern("local"),
            )
        except PyMongoError as error:
            raise ConfigError(
                f"Q_CLUSTER['mongo_db']: {self._options.database!r} cannot be the name"
                f" of a database: {error}"
            ) from None

    def _limit(self, seconds: float | None) -> AbstractContextManager[object]:
        if seconds is None or self._options.bounded:
            return nullcontext()
        return pymongo.timeout(seconds)

    def _translated(self, error: Exception, *, writes: bool) -> BrokerError:
        told = translate(error, self.address, self._options.database)
        if not writes:
            return told
        told.stored, known = progress(error)
        if known or not isinstance(told, BrokerUnavailable):
            return told
        unknown = NoReply(*told.args)
        unknown.stored = told.stored
        return unknown
