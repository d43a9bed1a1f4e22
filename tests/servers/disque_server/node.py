"""One node: its connections, and the table of its commands."""

from __future__ import annotations

import asyncio
import inspect
import secrets
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from . import job_commands, node_commands, queue_commands
from .journal import Journal
from .queues import Waiter
from .store import Store
from .wire import ProtocolError, Refusal, Reply, encode, encode_error, read_command

TICK = 0.1  # seconds


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says."""

    port: int
    folder: Path
    password: str
    appendonly: bool
    is_module: bool  # speaks as Redis with the Disque module does


Handler = Callable[["Node", "Client", list[bytes]], Reply | Awaitable[Reply]]

# name -> (arity, what it does). The name counts; a negative arity means "at least".
COMMANDS: dict[str, tuple[int, Handler]] = {
    "auth": (2, node_commands.auth),
    "ping": (-1, node_commands.ping),
    "hello": (1, node_commands.hello),
    "info": (-1, node_commands.info),
    "time": (1, node_commands.now),
    "client": (-2, node_commands.client),
    "config": (-2, node_commands.config),
    "cluster": (-2, node_commands.cluster),
    "debug": (-2, node_commands.debug),
    "shutdown": (-1, node_commands.shutdown),
    "addjob": (-4, job_commands.addjob),
    "getjob": (-2, job_commands.getjob),
    "ackjob": (-1, job_commands.ackjob),
    "fastack": (-1, job_commands.ackjob),
    "deljob": (-1, job_commands.ackjob),
    "nack": (-1, job_commands.nack),
    "enqueue": (-1, job_commands.enqueue),
    "dequeue": (-1, job_commands.dequeue),
    "working": (2, job_commands.working),
    "show": (2, job_commands.show),
    "qlen": (2, queue_commands.qlen),
    "qpeek": (3, queue_commands.qpeek),
    "qstat": (2, queue_commands.qstat),
    "qscan": (-1, queue_commands.qscan),
    "jscan": (-1, queue_commands.jscan),
    "pause": (-3, queue_commands.pause),
}


class Client:
    """One connection."""

    def __init__(self, writer: asyncio.StreamWriter, *, is_known: bool) -> None:
        host, port = writer.get_extra_info("peername")[:2]
        self.peer = f"{host}:{port}".encode()
        self.name = b""
        self.is_known = is_known
        self.is_gone = False
        self.waiter: Waiter | None = None
        self.inbox: asyncio.Queue[list[bytes] | None] = asyncio.Queue()
        self.writer = writer

    def drop(self) -> None:
        """Hang up."""
        self.is_gone = True
        if self.waiter is not None:
            self.waiter.jobs.cancel()
        self.inbox.put_nowait(None)
        self.writer.close()


class Node:
    """A server of Disque's protocol that knows no other node."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.id = _node_id(settings.folder / "node-id")
        self.password = settings.password.encode()
        self.cluster_size = self.reachable = 1  # nodes, this one included
        self.max_memory = 0  # bytes; 0: no limit
        self.is_leaving = False
        self.clients: list[Client] = []
        self.blocked = 0
        self.started = time.monotonic()
        self.ended = asyncio.Event()
        journal = Journal(settings.folder / "jobs.aof") if settings.appendonly else None
        self.store = Store(self.id, journal)

    async def serve(self) -> None:
        """Answer until SHUTDOWN or SIGTERM."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.ended.set)
        await asyncio.start_server(self._attend, "127.0.0.1", self.settings.port)
        while not self.ended.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self.ended.wait(), TICK)
            self.store.tick()

    async def _attend(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        client = Client(writer, is_known=False)
        self.clients.append(client)
        work = asyncio.create_task(self._work(client))
        try:
            # Reading goes on while a command waits, to see the client hang up.
            while (words := await read_command(reader)) is not None:
                client.inbox.put_nowait(words)
        except ProtocolError as error:
            writer.write(encode_error(f"ERR Protocol error: {error}"))
        except (ConnectionError, asyncio.IncompleteReadError):
            client.is_gone = True
        finally:
            client.drop()
            await work
            self.clients.remove(client)

    async def _work(self, client: Client) -> None:
        """Answer the commands of one client in their order."""
        while (words := await client.inbox.get()) is not None:
            try:
                reply = encode(await self._run(client, words))
            except Refusal as refusal:
                reply = encode_error(str(refusal))
            except asyncio.CancelledError:
                return  # hung up while it was blocked
            client.writer.write(reply)
            with suppress(ConnectionError):
                await client.writer.drain()

    async def _run(self, client: Client, words: list[bytes]) -> Reply:
        name, *rest = words
        command = name.decode("latin-1").lower()
        if command not in COMMANDS:
            raise Refusal(f"ERR unknown command '{name.decode('latin-1')}'")
        arity, handler = COMMANDS[command]
        if len(words) != arity if arity > 0 else len(words) < -arity:
            raise Refusal(f"ERR wrong number of arguments for '{command}' command")
        if self.password and not client.is_known and command != "auth":
            raise Refusal("NOAUTH Authentication required.")
        reply = handler(self, client, rest)
        return await reply if inspect.isawaitable(reply) else reply


def _node_id(path: Path) -> str:
    """Return the id that the node keeps over restarts: 40 hexadecimal digits."""
    if not path.exists():
        path.write_text(secrets.token_hex(20))
    return path.read_text()
