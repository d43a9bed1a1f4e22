"""One connection to one server: commands out, replies in, errors in qcore's words."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from redis.exceptions import (
    ConnectionError,
    InvalidResponse,
    MovedError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,
)

from qcore.brokers import tools
from qcore.brokers.addresses import Address
from qcore.errors import BrokerUnavailable, NoReply

from .errors import NoScript, code, translate, without_password
from .options import CONNECT_SECONDS, LEAST_CONNECT_SECONDS, address
from .scripts import Script

if TYPE_CHECKING:
    import redis

# A queue lives on one node of a Redis Cluster; two hops find it, five are a fault.
MAX_MOVES = 5


class Connection:
    """A connection that is made on first use and made again after an error.

    It works on redis-py's connection instead of its client: that costs half the
    processor time for one command, repeats nothing behind our back, and a queue needs
    no pool, for it belongs to one thread.
    """

    def __init__(
        self, pool: redis.ConnectionPool, seeds: Sequence[Address] = ()
    ) -> None:
        self.address = address(pool, seeds)
        self._pool = pool  # a wire of Sentinel's refers to it weakly
        self._wire: Any = pool.connection_class(**pool.connection_kwargs)
        home = Address(getattr(self._wire, "host", ""), getattr(self._wire, "port", 0))
        # of a Redis Cluster; the first is where a search begins
        self._seeds = deque(seeds or [home])
        self._used = False  # whether the wire has carried a reply
        if seeds:
            self._share_connecting(len(seeds))
            self._go_home()

    @property
    def reply_seconds(self) -> float:
        """How long a reply may take."""
        return float(self._wire.socket_timeout)

    def call(self, *command: Any) -> Any:
        """Send one command and return its reply, bytes as bytes.

        Raises:
            NoReply: it was sent; whether it ran is not known.
            BrokerUnavailable: it was not sent, or not done.
            BrokerError: the reply is an error.
        """
        return self._exchange([command])[0]

    def call_many(self, *commands: Sequence[Any]) -> list[Any]:
        """Send several commands in one go; the first error among the replies is raised."""
        return self._exchange(commands)

    def call_first(self, *commands: Sequence[Any]) -> list[Any]:
        """Send several commands, and raise the error of the first one only.

        What it has brought must not be lost because another one failed: an error of those
        is among the replies.
        """
        return self._exchange(commands, matters=1)

    def run(self, script: Script, keys: Sequence[str], *arguments: Any) -> Any:
        """Run a script, and give it to the server where that does not have it."""
        try:
            return self.call("EVALSHA", script.digest, len(keys), *keys, *arguments)
        except NoScript:
            return self.call("EVAL", script.source, len(keys), *keys, *arguments)

    def close(self) -> None:
        """Disconnect; the next call connects again."""
        self._used = False
        self._wire.disconnect()

    def _exchange(
        self, commands: Sequence[Sequence[Any]], matters: int | None = None
    ) -> list[Any]:
        moves = 0
        while True:
            sent = False
            try:
                self._refresh()
                sent = True
                replies = self._talk(commands)
            except (RedisError, OSError) as error:
                self._go_home()
                told = translate(error, self.address)
                if sent and type(told) is BrokerUnavailable:
                    told = NoReply(*told.args)
                raise told from without_password(error)
            except BaseException:
                # A timeout of a task, raised in mid-reply: what is still to come
                # would be taken for the reply to the next command.
                self.close()
                raise
            moved = self._judge(replies[:matters])
            if moved is None:
                return replies
            moves += 1
            if moves > MAX_MOVES:
                self._go_home()
                raise translate(moved, self.address) from moved
            # no host, or one that the node does not know, means the same one
            host = moved.host if moved.host not in ("", "?") else self._wire.host
            self._go(host, moved.port)

    def _talk(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        wire = self._wire
        if len(commands) == 1:
            pieces = wire.pack_command(*commands[0])
        else:
            pieces = wire.pack_commands(commands)
        size = sum(map(len, pieces))
        if size < tools.LARGE_CALL_BYTES:
            wire.send_packed_command(pieces)
            return self._read(commands)
        # a busy server or a slow network takes its time over many bytes
        usual = wire.socket_timeout
        self._limit(None if usual is None else tools.reply_seconds(usual, size))
        try:
            wire.send_packed_command(pieces)
            return self._read(commands)
        finally:
            self._limit(usual)

    def _limit(self, seconds: float | None) -> None:
        """Say how long the next replies may take, on the connection that there is."""
        if (open_socket := getattr(self._wire, "_sock", None)) is not None:
            open_socket.settimeout(seconds)

    def _read(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        wire = self._wire
        replies: list[Any] = []
        for _ in commands:
            try:
                replies.append(wire.read_response())
            except ResponseError as error:
                replies.append(error)
            except ValueError as error:  # a length that is no number
                raise InvalidResponse(f"not the protocol: {error}") from error
        self._used = True
        return replies

    def _judge(self, replies: list[Any]) -> MovedError | None:
        """Raise the first error among replies; return it when the queue has moved."""
        for reply in replies:
            if isinstance(reply, MovedError):
                return reply
            if isinstance(reply, ResponseError):
                if isinstance(reply, ReadOnlyError):
                    self._go_home()  # the name may lead to the new master by now
                raise translate(reply, self.address) from reply
        return None

    def _refresh(self) -> None:
        """Connect, again where the server hung up while nothing was sent."""
        if self._used and self._is_stale():
            self.close()
        if not self._used:
            self._connect()

    def _connect(self) -> None:
        """Connect; where it begins anew, to the first of the seeds that is there."""
        for left in reversed(range(len(self._seeds))):
            try:
                # Said, for a wire of Sentinel's asks for the master only then.
                self._wire.connect()
                return
            except (ConnectionError, TimeoutError) as error:
                # what will not go away is not looked for elsewhere
                if not left or code(error) or not self._is_at_home:
                    raise
                self._seeds.rotate(-1)
                self._go_home()

    @property
    def _is_at_home(self) -> bool:
        return (self._wire.host, self._wire.port) == self._seeds[0]

    def _share_connecting(self, count: int) -> None:
        """Let the seeds share the time that connecting may take."""
        usual = self._wire.socket_connect_timeout or CONNECT_SECONDS
        self._wire.socket_connect_timeout = max(usual / count, LEAST_CONNECT_SECONDS)

    def _is_stale(self) -> bool:
        try:
            return bool(self._wire.can_read(0))
        except (RedisError, OSError):
            return True

    def _go(self, host: str, port: int) -> None:
        self.close()
        self._wire.host, self._wire.port = host, port

    def _go_home(self) -> None:
        """Disconnect, and turn to the configured node again."""
        self.close()
        if hasattr(self._wire, "host"):
            self._wire.host, self._wire.port = self._seeds[0]
