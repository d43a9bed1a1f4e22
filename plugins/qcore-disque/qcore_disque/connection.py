"""One connection to one node: commands out, replies in, errors in qcore's words."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import InvalidResponse, RedisError, ResponseError
from redis.retry import Retry

from qcore.brokers.tools import LARGE_CALL_BYTES, reply_seconds
from qcore.errors import NoReply

from .errors import translate

if TYPE_CHECKING:
    from qcore.brokers.addresses import Address

logger = logging.getLogger("qcore.broker")

# redis-py 8 would open with HELLO 3, which Disque refuses, and with it every command;
# before version 5 the argument does not exist.
_PROTOCOL = {"protocol": 2} if int(redis.__version__.split(".")[0]) >= 5 else {}


class Connection:
    """A connection that is made on first use and made again after an error.

    It works on redis-py's connection instead of its client: that repeats nothing
    behind our back, and gives the replies of a batch one by one, without MULTI.

    Args:
        address: where the node listens.
        password: of the node, if it has one.
        connect_seconds: how long connecting may take.
        reply_seconds: how long a reply may take.
    """

    def __init__(
        self,
        address: Address,
        password: str | None,
        connect_seconds: float,
        reply_seconds: float,
    ) -> None:
        self.address = address
        self._wire: Any = redis.Connection(  # type: ignore[no-untyped-call]
            host=address.host,
            port=address.port,
            password=password,
            socket_connect_timeout=connect_seconds,
            socket_timeout=reply_seconds,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),  # a repeated ADDJOB would be two tasks
            **_PROTOCOL,
        )
        self._node_id: bytes | None = None
        self._used = False  # whether the wire has carried a reply

    def connect(self) -> None:
        """Connect, again where the node hung up while nothing was sent.

        Raises:
            BrokerUnavailable: the node cannot be reached.
            BrokerError: it refuses the password.
        """
        if self._used and self._is_stale():
            self.close()
        if self._used:
            return
        try:
            self._wire.connect()
            self._meet()
        except (RedisError, OSError) as error:
            self.close()
            raise translate(error, str(self.address)) from error

    def talk(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Send commands in one go; return a reply or an error for each, bytes as bytes.

        Raises:
            NoReply: what has been carried out is not known.
            BrokerUnavailable: the node cannot be reached.
        """
        self.connect()
        try:
            return self._exchange(commands)
        except (RedisError, OSError) as error:
            self.close()
            raise NoReply(*translate(error, str(self.address)).args) from error
        except BaseException:
            # A timeout of a task, raised in mid-reply: what is still to come
            # would be taken for the reply to the next command.
            self.close()
            raise

    def ask(self, *commands: Sequence[Any]) -> list[Any]:
        """Send commands in one go; the first error among the replies is raised."""
        replies = self.talk(commands)
        for reply in replies:
            self.require(reply)
        return replies

    def require(self, reply: Any) -> Any:
        """Return a reply, or raise it when it is an error."""
        if isinstance(reply, ResponseError):
            raise translate(reply, str(self.address)) from reply
        return reply

    def close(self) -> None:
        """Disconnect; the next call connects again."""
        self._used = False
        self._wire.disconnect()

    def _exchange(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        pieces = self._wire.pack_commands(commands)
        size = sum(map(len, pieces))
        if size < LARGE_CALL_BYTES:
            self._wire.send_packed_command(pieces)
            return self._read(commands)
        # a busy node or a slow network takes its time over many bytes
        usual = self._wire.socket_timeout
        self._limit(reply_seconds(usual, size))
        try:
            self._wire.send_packed_command(pieces)
            return self._read(commands)
        finally:
            self._limit(usual)

    def _limit(self, seconds: float) -> None:
        """Say how long the next replies may take, on the connection that there is."""
        if (open_socket := getattr(self._wire, "_sock", None)) is not None:
            open_socket.settimeout(seconds)

    def _read(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        replies: list[Any] = []
        for _ in commands:
            try:
                replies.append(self._wire.read_response())
            except ResponseError as error:
                replies.append(error)
            except ValueError as error:  # a length that is no number
                raise InvalidResponse(f"not the protocol: {error}") from error
        self._used = True
        return replies

    def _meet(self) -> None:
        """Learn which node this is; say so when it is not the one it was."""
        (reply,) = self._exchange([("HELLO",)])
        # The Disque module of Redis has no HELLO of its own.
        is_node = isinstance(reply, list) and len(reply) > 1 and reply[0] == 1
        node_id = reply[1] if is_node else None
        if self._node_id is not None and node_id not in (self._node_id, None):
            logger.warning(
                "the Disque node at %s came back as another one (%s, before %s): tasks"
                " that only the former one had are gone until that is back",
                self.address,
                _short(node_id),
                _short(self._node_id),
            )
        self._node_id = node_id or self._node_id

    def _is_stale(self) -> bool:
        try:
            return bool(self._wire.can_read(0))
        except (RedisError, OSError):
            return True


def _short(node_id: bytes) -> str:
    """Return the digits of a node's id that are part of every id of a job."""
    return node_id[:8].decode("ascii", "replace")
