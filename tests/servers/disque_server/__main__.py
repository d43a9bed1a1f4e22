"""Runs one node: ``python tests/servers/disque_server --port 7711 --dir data``.

A test server that speaks the protocol of Disque 1.0 and keeps to its rules: leases,
counters, delays, order, errors. It has no cluster: every node is alone.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from servers.disque_server.node import Node, Settings


def read_arguments() -> Settings:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=7711)
    parser.add_argument("--dir", type=Path, default=Path())
    parser.add_argument("--requirepass", default="")
    parser.add_argument(
        "--appendonly", choices=["yes", "no"], default="no", help="keep jobs on disk"
    )
    parser.add_argument(
        "--dialect",
        choices=["disque", "module"],
        default="disque",
        help="module: reply as Redis with the Disque module does",
    )
    given = parser.parse_args()
    return Settings(
        port=given.port,
        folder=given.dir,
        password=given.requirepass,
        appendonly=given.appendonly == "yes",
        is_module=given.dialect == "module",
    )


if __name__ == "__main__":
    asyncio.run(Node(read_arguments()).serve())
