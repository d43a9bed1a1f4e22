"""What each request of the API does: its fields, their limits, its reply."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from servers.ironmq_server.limits import BadRequest, read_limit
from servers.ironmq_server.store import NotFound, Refused, Store

Body = dict[str, Any]
Reply = tuple[int, Body]

MAX_BATCH = 100
MAX_DELAY = 604_800


class Call:
    """One request, taken apart."""

    def __init__(self, store: Store, queue: str, rest: list[str], body: Body) -> None:
        self.store, self.queue, self.body = store, queue, body
        self.message = rest[1] if len(rest) > 1 else ""

    def create(self) -> Reply:
        settings = self.body.get("queue", {})
        return 200, {"queue": self.store.create(self.queue, settings)}

    def update(self) -> Reply:
        self.store.describe(self.queue)
        return self.create()

    def describe(self) -> Reply:
        return 200, {"queue": self.store.describe(self.queue)}

    def delete_queue(self) -> Reply:
        self.store.delete_queue(self.queue)
        return 200, {"msg": "Deleted"}

    def post(self) -> Reply:
        messages = self.body.get("messages")
        if not messages or len(messages) > MAX_BATCH:
            raise BadRequest(f"1 to {MAX_BATCH} messages are expected")
        wanted = []
        for message in messages:
            if not isinstance(message.get("body"), str) or not message["body"]:
                raise BadRequest("Message body is required")
            delay = read_limit(message, "delay", 0, 0, MAX_DELAY)
            wanted.append((message["body"], delay))
        ids = self.store.post(self.queue, wanted)
        return 201, {"ids": ids, "msg": "Messages put on queue."}

    def reserve(self) -> Reply:
        count = read_limit(self.body, "n", 1, 1, MAX_BATCH)
        default = self.store.describe(self.queue)["message_timeout"]
        timeout = read_limit(self.body, "timeout", default, 30, 86_400)
        wait = read_limit(self.body, "wait", 0, 0, 30)
        found = self.store.reserve(self.queue, count, timeout, wait)
        if self.body.get("delete"):
            for told in found:
                self.store.delete(self.queue, told["id"], told["reservation_id"])
        return 200, {"messages": found}

    def peek(self) -> Reply:
        count = read_limit(self.body, "n", 1, 1, MAX_BATCH)
        return 200, {"messages": self.store.peek(self.queue, count)}

    def get(self) -> Reply:
        return 200, {"message": self.store.get(self.queue, self.message)}

    def delete(self) -> Reply:
        reservation = self.body.get("reservation_id")
        self.store.delete(self.queue, self.message, reservation)
        return 200, {"msg": "Deleted"}

    def delete_several(self) -> Reply:
        """Delete what may be deleted; the first refusal is the reply."""
        if "ids" not in self.body:
            self.store.clear(self.queue)
            return 200, {"msg": "Cleared"}
        entries = self.body["ids"]
        if not 1 <= len(entries) <= MAX_BATCH:
            raise BadRequest(f"1 to {MAX_BATCH} ids are expected")
        refusals: list[Exception] = []
        for entry in entries:
            try:
                self.store.delete(
                    self.queue, str(entry["id"]), entry.get("reservation_id")
                )
            except (Refused, NotFound) as error:
                refusals.append(error)
        if refusals:
            raise refusals[0]
        return 200, {"msg": "Deleted"}

    def touch(self) -> Reply:
        default = self.store.describe(self.queue)["message_timeout"]
        timeout = read_limit(self.body, "timeout", default, 30, 86_400)
        reservation = self.store.touch(
            self.queue, self.message, self._reservation(), timeout
        )
        return 200, {"reservation_id": reservation, "msg": "Touched"}

    def release(self) -> Reply:
        delay = read_limit(self.body, "delay", 0, 0, MAX_DELAY)
        self.store.release(self.queue, self.message, self._reservation(), delay)
        return 200, {"msg": "Released"}

    def _reservation(self) -> str:
        reservation = self.body.get("reservation_id")
        if not isinstance(reservation, str):
            raise BadRequest("reservation_id is required")
        return reservation


ROUTES: dict[tuple[str, str], Callable[[Call], Reply]] = {
    ("PUT", ""): Call.create,
    ("PATCH", ""): Call.update,
    ("GET", ""): Call.describe,
    ("DELETE", ""): Call.delete_queue,
    ("POST", "messages"): Call.post,
    ("GET", "messages"): Call.peek,
    ("DELETE", "messages"): Call.delete_several,
    ("POST", "reservations"): Call.reserve,
    ("GET", "messages/*"): Call.get,
    ("DELETE", "messages/*"): Call.delete,
    ("POST", "messages/*/touch"): Call.touch,
    ("POST", "messages/*/release"): Call.release,
}
