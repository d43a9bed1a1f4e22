"""Runs the server: ``python tests/servers/ironmq_server --port 8080 ...``.

A test server with the HTTP side of IronMQ's API, v3: addresses, credentials, statuses.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

sys.path.insert(0, str(Path(__file__).parents[2]))

from servers.ironmq_server.calls import ROUTES, Body, Call, Reply
from servers.ironmq_server.limits import BadRequest
from servers.ironmq_server.store import NotFound, Refused, Store
from servers.listening import Listening

# Bytes of a request; the vendor's page on limits names 256 kB for the larger plans.
MAX_REQUEST = 262_144


class Server(Listening):
    """Listens on loopback; one thread for each connection."""

    def __init__(self, port: int, store: Store, project: str, token: str) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.store, self.project, self.token = store, project, token


class Handler(BaseHTTPRequestHandler):
    """Reads requests of one connection and answers in JSON."""

    server: Server
    protocol_version = "HTTP/1.1"
    # head and body of a reply are two packets, of which Nagle would hold the second
    disable_nagle_algorithm = True

    def _answer(self) -> None:
        # read even where it is refused: the connection is used again
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        try:
            status, body = self._route(raw)
        except BadRequest as error:
            status, body = 400, {"msg": str(error)}
        except Refused as error:
            status, body = 403, {"msg": str(error)}
        except NotFound as error:
            status, body = 404, {"msg": str(error)}
        self._send(status, body)

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Answer every method alike; the base class looks for do_GET and so on."""
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def _send(self, status: int, body: Body) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _route(self, raw: bytes) -> Reply:
        url = urlsplit(self.path)
        found = re.fullmatch(r"/3/projects/([^/]+)/queues/(.+?)/?", url.path)
        if self.headers.get("Authorization") != f"OAuth {self.server.token}":
            return 401, {"msg": "Unauthorized"}
        if not found:
            return 404, {"msg": "Not found"}
        if found[1] != self.server.project:
            return 403, {"msg": "Forbidden"}
        if len(raw) > MAX_REQUEST:
            return 413, {"msg": "Request is too large"}
        queue, *rest = map(unquote, found[2].split("/"))
        # the words that stand in the address, with * for the id of a message
        shape = "/".join(["*" if at == 1 else word for at, word in enumerate(rest)])
        handle = ROUTES.get((self.command, shape))
        if handle is None:
            return 405, {"msg": "Method not allowed"}
        asked = {name: int(v[0]) for name, v in parse_qs(url.query).items()}
        return handle(Call(self.server.store, queue, rest, {**asked, **_json(raw)}))

    def log_message(self, format: str, *arguments: Any) -> None:
        """Write nothing: the log of a test is for what goes wrong."""


def _json(raw: bytes) -> Body:
    try:
        body = json.loads(raw or b"{}")
    except ValueError:
        raise BadRequest("Request body is not JSON") from None
    if not isinstance(body, dict):
        raise BadRequest("Request body is not an object")
    return body


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--project", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--pace", type=float, default=1.0)
    told = parser.parse_args()
    store = Store(told.file, told.pace)
    Server(told.port, store, told.project, told.token).serve_forever()


if __name__ == "__main__":
    main()
