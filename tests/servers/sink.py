"""A sink: an HTTP server that keeps what is sent to it, as Sentry and Rollbar would."""

from __future__ import annotations

import gzip
import json
import threading
import time
import zlib
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

from .listening import Listening
from .patience import Patience

#: Seconds of a calm machine that a test waits for something to arrive.
PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Request:
    """One POST, its body unpacked."""

    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def document(self) -> Any:
        """The body read as JSON."""
        return json.loads(self.body)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events in an envelope of Sentry."""
        return self.items("event", "transaction")

    def items(self, *types: str) -> list[dict[str, Any]]:
        """The items in an envelope of Sentry: lines of JSON, a header before each."""
        found, rest = [], self.body.partition(b"\n")[2]
        while rest:
            line, _, rest = rest.partition(b"\n")
            header = json.loads(line)
            length = header.get("length", rest.find(b"\n"))
            item, rest = rest[:length], rest[length:].lstrip(b"\n")
            if header["type"] in types:
                found.append(json.loads(item))
        return found


class Sink:
    """The server, on a loopback port of its own, in threads of this process.

    Attributes:
        requests: what has come, oldest first.
        status: of the answers, a status of HTTP.
        open: cleared, it keeps every request waiting until it is set.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.status = 200
        self.open = threading.Event()
        self.open.set()
        self._server = Listening(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def dsn(self) -> str:
        """A DSN of Sentry that leads here, with a key that no log may show."""
        return f"http://k3y-0f-sentry@127.0.0.1:{self.port}/42"

    @property
    def endpoint(self) -> str:
        """An endpoint of Rollbar; without the last slash its client loses a part."""
        return f"http://127.0.0.1:{self.port}/api/1/"

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events of Sentry that have come."""
        return [event for request in list(self.requests) for event in request.events]

    @property
    def check_ins(self) -> list[dict[str, Any]]:
        """The check-ins of Sentry that have come."""
        return [one for r in list(self.requests) for one in r.items("check_in")]

    @property
    def items(self) -> list[dict[str, Any]]:
        """The items of Rollbar that have come, without their envelope."""
        return [request.document["data"] for request in list(self.requests)]

    def disturb(self, how: str) -> None:
        """Refuse what comes from now on; with ``"hang"`` keep it waiting before that."""
        if how == "hang":
            self.open.clear()
        self.status = 500

    def wait(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait for so many ``"events"`` or ``"items"``, and return them."""
        patience = Patience(PATIENCE)
        while len(found := getattr(self, kind)) < count:
            assert not patience.is_over(), f"{len(found)} of {count} {kind} came"
            time.sleep(0.01)
        return list(found)

    def close(self) -> None:
        """Stop listening; requests that wait are let go."""
        self.open.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length)
                encoding = self.headers.get("Content-Encoding", "")
                headers = {name.lower(): value for name, value in self.headers.items()}
                sink.open.wait()
                sink.requests.append(
                    Request(self.path, headers, unpack(body, encoding))
                )
                reply = b'{"id": "0", "err": 0, "result": {}}'
                if sink.status != 200:
                    reply = b'{"err": 1, "message": "refused"}'
                try:
                    self.send_response(sink.status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(reply)))
                    self.end_headers()
                    self.wfile.write(reply)
                except ConnectionError:
                    self.close_connection = True  # who sent it has gone

            def log_message(self, format: str, *args: Any) -> None:
                """Keep the output of the tests clean."""

        return Handler


def unpack(body: bytes, encoding: str) -> bytes:
    """Return a body as it was before it was compressed for its way."""
    if encoding == "gzip":
        return gzip.decompress(body)
    if encoding == "deflate":
        return zlib.decompress(body)
    if encoding:
        raise ValueError(f"a body came in {encoding!r}, which the sink cannot read")
    return body
