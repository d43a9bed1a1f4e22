"""What is right and wrong with a server as the place of a queue; for ``qcore doctor``."""

from __future__ import annotations

from collections.abc import Iterator

from qcore.findings import Finding, error, ok, warning

from .server import Server

# Of maxmemory; what is left is for the tasks that come while somebody reads this.
NEARLY_FULL = 0.9


def diagnose(server: Server, address: str) -> list[Finding]:
    """Return the findings on a server.

    Args:
        server: what it says of itself.
        address: where it is, without secrets.
    """
    return [*_role(server, address), *_memory(server), *_disk(server)]


def _role(server: Server, address: str) -> Iterator[Finding]:
    if server.replica:
        yield error(
            f"{address} is a replica: it takes no tasks",
            "Set Q_CLUSTER['redis'] to its master, or to Sentinel.",
        )


def _memory(server: Server) -> Iterator[Finding]:
    if server.evicts:
        yield error(
            f"maxmemory-policy is {server.policy}: queues are deleted with all their"
            " tasks when memory is full",
            "Run: redis-cli CONFIG SET maxmemory-policy noeviction, and write it into"
            " the configuration of the server.",
        )
    elif server.policy.startswith("allkeys"):
        yield warning(
            f"maxmemory-policy is {server.policy}; it deletes queues as soon as"
            " maxmemory is set",
            "Run: redis-cli CONFIG SET maxmemory-policy noeviction",
        )
    else:
        yield ok(
            f"maxmemory-policy is {server.policy or 'not told'}: no queue is deleted"
        )
    if server.max_memory and server.memory > NEARLY_FULL * server.max_memory:
        yield warning(
            f"{server.memory:,} of {server.max_memory:,} bytes of memory are in use;"
            " a full server takes no tasks",
            "Raise maxmemory, or see what fills it: redis-cli --bigkeys",
        )


def _disk(server: Server) -> Iterator[Finding]:
    if not server.saved:
        yield error(
            "the server could not write to its disk: by default it then takes no tasks",
            "See its log, and the space on its disk.",
        )
    if server.appends:
        yield ok("every task is written to the append-only file")
    else:
        yield warning(
            "appendonly is off: a restart of the server may lose the tasks that wait",
            "Run: redis-cli CONFIG SET appendonly yes, and write it into the"
            " configuration of the server. Where that loss is welcome, leave it.",
        )
