"""Calls of one queue: errors in qcore's words, and a busy service asked again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote

import requests

from qcore.brokers.tools import try_again
from qcore.errors import NoReply

from .client import Service
from .errors import Busy, not_ironmq, translate
from .options import Options

T = TypeVar("T")


class Connection:
    """A client and its queue; nothing is sent before the first call.

    Args:
        options: of the client.
        queue: name of the queue, of any characters.
    """

    def __init__(self, options: Options, queue: str) -> None:
        self._client = options.make_client()
        self._service = Service(self._client)
        # iron-mq puts names into its URLs as they are
        self._queue = self._service.queue(quote(queue, safe=""))

    @property
    def place(self) -> str:
        """Name and address of the service: ``IronMQ at https://mq.iron.io:443``."""
        client = self._client
        return f"IronMQ at {client.protocol}://{client.host}:{client.port}"

    def call(self, work: Callable[[Any], T], reply_seconds: float) -> T:
        """Return what ``work`` makes of the ``iron_mq.Queue``.

        Args:
            work: makes one request; it is repeated while the service is busy.
            reply_seconds: how long a reply may take.

        Raises:
            Missing: there is no such queue or message.
            Late: a reservation counts no more.
            NoReply: whether the call was done is not known.
            BrokerUnavailable: the service cannot be reached, or has refused for now.
            BrokerError: the reply is an error.
        """
        self._client.reply_seconds = reply_seconds
        return try_again(lambda: self._once(work), Busy)

    def _once(self, work: Callable[[Any], T]) -> T:
        try:
            return work(self._queue)
        except requests.RequestException as error:
            raise translate(error, self.place) from error
        except (KeyError, TypeError) as error:
            # work() found a reply without the fields of IronMQ, or without any
            raise not_ironmq(self.place) from error
        except OSError as error:
            raise NoReply(
                f"{self.place} cannot be reached: {error}. Check the network."
            ) from error

    def create(self, reply_seconds: float, **settings: object) -> None:
        """Make the queue; one that is there keeps its messages.

        Raises:
            BrokerError: as ``call``.
        """
        self.call(
            lambda queue: self._service.create_queue(queue.name, settings),
            reply_seconds,
        )

    def close(self) -> None:
        """Disconnect; the next call connects again."""
        self._client.close()
