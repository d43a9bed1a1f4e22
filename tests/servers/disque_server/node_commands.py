"""The commands about the node itself and about connections to it."""

from __future__ import annotations

import os
import time
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from .wire import NULL_BULK, OK, Refusal, Reply, Simple

if TYPE_CHECKING:
    from .node import Client, Node

VERSION = "1.0-rc1"
REDIS = "7.0.15"  # into which the module was loaded
CLIENT_SYNTAX = (
    "ERR Syntax error, try CLIENT (LIST | KILL ip:port | GETNAME | SETNAME"
    " connection-name)"
)


def ping(node: Node, client: Client, words: list[bytes]) -> Reply:
    return words[0] if words else Simple("PONG")


def hello(node: Node, client: Client, words: list[bytes]) -> Reply:
    """Tell the format, this node, and all nodes; a lone one knows no address."""
    if node.settings.is_module:
        return [b"server", b"redis", b"version", REDIS.encode(), b"proto", 2]
    id = node.id.encode()
    return [1, id, [id, b"", str(node.settings.port).encode(), b"1"]]


def auth(node: Node, client: Client, words: list[bytes]) -> Reply:
    if not node.password:
        raise Refusal("ERR Client sent AUTH, but no password is set")
    if words[0] != node.password:
        client.is_known = False
        raise Refusal("ERR invalid password")
    client.is_known = True
    return OK


def client(node: Node, client: Client, words: list[bytes]) -> Reply:
    verb = words[0].upper()
    if verb == b"SETNAME" and len(words) == 2:
        client.name = words[1]
        return OK
    if verb == b"GETNAME" and len(words) == 1:
        return client.name or NULL_BULK
    if verb == b"LIST" and len(words) == 1:
        return b"".join(b"addr=%s name=%s\n" % (c.peer, c.name) for c in node.clients)
    if verb == b"KILL" and len(words) == 2:
        for other in node.clients:
            if other.peer == words[1]:
                other.drop()
                return OK
        raise Refusal("ERR No such client")
    raise Refusal(CLIENT_SYNTAX)


def config(node: Node, client: Client, words: list[bytes]) -> Reply:
    verb, *rest = words
    name = rest[0].decode("latin-1").lower() if rest else ""
    if verb.upper() == b"GET" and len(rest) == 1:
        pairs = {
            b"requirepass": node.password,
            b"maxmemory": b"%d" % node.max_memory,
            b"appendonly": b"yes" if node.settings.appendonly else b"no",
        }
        found = [pair for pair in pairs.items() if fnmatchcase(pair[0].decode(), name)]
        return [word for pair in found for word in pair]
    if verb.upper() == b"SET" and len(rest) == 2:
        if name == "requirepass":
            # who has logged in stays so, by the password that there was
            node.password = rest[1]
        elif name == "maxmemory" and rest[1].isdigit():
            node.max_memory = int(rest[1])
        else:
            raise Refusal(f"ERR Unsupported CONFIG parameter: {name}")
        return OK
    raise Refusal("ERR CONFIG subcommand must be one of GET, SET")


def cluster(node: Node, client: Client, words: list[bytes]) -> Reply:
    """Only leaving can be asked of a node that is alone, and two things of this server.

    ``CLUSTER PRETEND 3 2`` makes it refuse as a node does that knows three nodes, of which
    two are reachable.
    """
    verb, *rest = (word.upper() for word in words)
    if verb == b"LEAVING" and rest in ([b"YES"], [b"NO"]):
        node.is_leaving = rest == [b"YES"]
        return OK
    if verb == b"PRETEND" and len(rest) == 2:
        node.cluster_size, node.reachable = map(int, rest)
        return OK
    raise Refusal("ERR this test server is no cluster: CLUSTER LEAVING yes|no")


def debug(node: Node, client: Client, words: list[bytes]) -> Reply:
    if words[0].upper() == b"FLUSHALL":
        node.store.clear()
        return OK
    raise Refusal("ERR this test server has no DEBUG but FLUSHALL")


def info(node: Node, client: Client, words: list[bytes]) -> Reply:
    is_module = node.settings.is_module
    version = {"redis_version": REDIS} if is_module else {"disque_version": VERSION}
    sections: dict[str, dict[str, object]] = {
        "Server": {
            **version,
            "process_id": os.getpid(),
            "tcp_port": node.settings.port,
            "uptime_in_seconds": int(time.monotonic() - node.started),
        },
        "Clients": {
            "connected_clients": len(node.clients),
            "blocked_clients": node.blocked,
        },
        "Memory": {"used_memory_human": f"{node.store.used_memory / 1e6:.2f}M"},
        "Jobs": {"registered_jobs": len(node.store.jobs)},
        "Queues": {"registered_queues": len(node.store.queues)},
    }
    wanted = words[0].decode("latin-1").lower() if words else "all"
    lines = []
    for name, fields in sections.items():
        if wanted in ("all", "default", name.lower()):
            lines += [f"# {name}", *(f"{k}:{v}" for k, v in fields.items()), ""]
    return "\r\n".join(lines).encode()


def now(node: Node, client: Client, words: list[bytes]) -> Reply:
    seconds, rest = divmod(time.time_ns() // 1000, 1_000_000)
    return [b"%d" % seconds, b"%d" % rest]


def shutdown(node: Node, client: Client, words: list[bytes]) -> Reply:
    node.ended.set()
    return OK
