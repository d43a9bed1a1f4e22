"""An IronMQ whose every reply a test writes: what the other server never says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, Self

from .listening import Listening


@dataclass(frozen=True, slots=True)
class Request:
    """What the client has sent."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """What the service says; a status of 0 hangs up without a word."""

    status: int
    body: object
    headers: Mapping[str, str]


class ScriptedIronMQ:
    """Gives the queued replies one after the other, then 200 and an empty queue.

    ``seen`` holds the requests, ``connections`` counts what was accepted.
    """

    def __init__(self) -> None:
        self.seen: list[Request] = []
        self.connections = 0
        self._may_speak = threading.Event()
        self._may_speak.set()
        self._queued: list[Reply] = []
        self._server = Listening(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def options(self) -> dict[str, object]:
        """The value of ``Q_CLUSTER['iron_mq']``."""
        place = {"host": "127.0.0.1", "port": self._server.server_port}
        secret = {"project_id": "p", "token": "s3cret-of-ironmq"}
        return {**place, "protocol": "http", **secret}

    def say(
        self,
        status: int,
        body: object = "",
        content_type: str = "application/json",
        **headers: str,
    ) -> None:
        """Queue a reply; an empty ``content_type`` leaves that header out."""
        if content_type:
            headers["Content-Type"] = content_type
        self._queued.append(Reply(status, body, headers))

    def hang_up(self) -> None:
        """Queue the end of the connection instead of a reply."""
        self._queued.append(Reply(0, "", {}))

    def fall_silent(self) -> None:
        """Read requests and say nothing, until ``speak``."""
        self._may_speak.clear()

    def speak(self) -> None:
        """Answer what waits, and go on."""
        self._may_speak.set()

    def hear(self, request: Request) -> Reply:
        """Note a request and return the reply to it."""
        self.seen.append(request)
        self._may_speak.wait()
        if self._queued:
            return self._queued.pop(0)
        return Reply(200, {"queue": {}}, {"Content-Type": "application/json"})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.speak()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(script: ScriptedIronMQ) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # else the second packet of a reply waits for 40 ms
        disable_nagle_algorithm = True

        def setup(self) -> None:
            script.connections += 1
            super().setup()

        def _answer(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            sent = json.loads(raw or b"{}")
            request = Request(self.command, self.path, dict(self.headers), sent)
            reply = script.hear(request)
            if not reply.status:
                self.close_connection = True
                return
            text = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
            body = text.encode()
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def __getattr__(self, name: str) -> Callable[[], None]:
            if name.startswith("do_"):
                return self._answer
            raise AttributeError(name)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Write nothing."""

    return Handler
