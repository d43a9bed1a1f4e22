"""ministack that has written its queues before it answers, as a durable service has.

The package itself writes them (``PERSIST_STATE=1``) only as it ends in order. This runs
in the package's environment, and replaces nothing of what it answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ministack import app as ministack  # type: ignore[import-not-found]
from ministack.core.persistence import save_state  # type: ignore[import-not-found]
from ministack.services import sqs  # type: ignore[import-not-found]

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Scope]]
Send = Callable[[Scope], Awaitable[None]]

answer = ministack.app


async def answer_what_is_written(scope: Scope, receive: Receive, send: Send) -> None:
    """Keep a reply back until the file holds what it says."""

    async def write_and_send(message: Scope) -> None:
        if message["type"] == "http.response.start":
            save_state("sqs", sqs.get_state())
        await send(message)

    await answer(scope, receive, write_and_send)


if __name__ == "__main__":
    ministack.app = answer_what_is_written
    ministack.main()
