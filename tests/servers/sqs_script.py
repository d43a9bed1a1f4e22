"""An SQS whose every reply a test writes: what emulators do not answer, AWS does."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, Self

from .listening import Listening

Request = Mapping[str, Any]
#: A status and a body: JSON, or bytes as they are.
Reply = tuple[int, Mapping[str, Any] | bytes]


def error(code: str, message: str = "as the test wants it", status: int = 400) -> Reply:
    """Return an error as AWS words it."""
    return status, {"__type": f"com.amazonaws.sqs#{code}", "message": message}


def all_done(request: Request, **fields: str) -> Reply:
    """Return the reply to a batch of which every entry is done."""
    done = [{"Id": entry["Id"], **fields} for entry in request["Entries"]]
    return 200, {"Successful": done}


class ScriptedSQS:
    """Answers each operation with the replies that were queued for it, then as ever.

    ``script("SendMessageBatch", reply, ...)`` queues replies, which may be functions of
    the request; ``always`` sets what comes when none is left. ``seen`` holds what was
    asked, by operation.
    """

    def __init__(self) -> None:
        self.seen: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._queued: dict[str, list[Reply | Callable[[Request], Reply]]] = defaultdict(
            list
        )
        self._always: dict[str, Reply | Callable[[Request], Reply]] = {
            "GetQueueAttributes": (
                200,
                {"Attributes": {"MaximumMessageSize": "1048576"}},
            ),
            "ReceiveMessage": (200, {}),
            "SendMessageBatch": self._store,
            "DeleteMessageBatch": all_done,
            "ChangeMessageVisibilityBatch": all_done,
        }
        self._server = Listening(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def url(self) -> str:
        """The endpoint that boto3 takes."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def script(
        self, operation: str, *replies: Reply | Callable[[Request], Reply]
    ) -> None:
        """Queue replies to an operation."""
        self._queued[operation] += replies

    def always(self, operation: str, reply: Reply | Callable[[Request], Reply]) -> None:
        """Set the reply to an operation for which none is queued."""
        self._always[operation] = reply

    def answer(self, operation: str, request: dict[str, Any]) -> Reply:
        """Note a request and return its reply."""
        self.seen[operation].append(request)
        if operation == "GetQueueUrl" and operation not in self._always:
            reply: Reply | Callable[[Request], Reply] = (
                200,
                {"QueueUrl": f"{self.url}/1/{request['QueueName']}"},
            )
        else:
            reply = self._always.get(operation, (200, {}))
        if self._queued[operation]:
            reply = self._queued[operation].pop(0)
        return reply(request) if callable(reply) else reply

    @staticmethod
    def _store(request: Request) -> Reply:
        done = [
            {"Id": entry["Id"], "MessageId": f"id of {entry['MessageBody']}"}
            for entry in request["Entries"]
        ]
        return 200, {"Successful": done}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(sqs: ScriptedSQS) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            operation = self.headers["X-Amz-Target"].rpartition(".")[2]
            status, body = sqs.answer(operation, json.loads(self.rfile.read(length)))
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *arguments: object) -> None:
            """Print nothing."""

    return Handler
