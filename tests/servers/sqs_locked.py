"""moto that claims under a lock, as AWS does; runs in the package's environment.

The package itself looks whether a message is visible and hides it in two steps, and
serves each connection in a thread: now and then two of them are given one message.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from moto.server import main  # type: ignore[import-not-found]
from moto.sqs.models import SQSBackend  # type: ignore[import-not-found]

#: Seconds between two looks of a long poll; the package looks as often.
PAUSE = 0.01

claim = SQSBackend.receive_message
lock = threading.Lock()


def claim_alone(
    backend: SQSBackend, queue_name: str, count: int, wait: int, *rest: Any
) -> list[Any]:
    """Look without waiting, one connection at a time, until there is something."""
    end = time.monotonic() + wait
    while True:
        with lock:
            found: list[Any] = claim(backend, queue_name, count, 0, *rest)
        if found or time.monotonic() >= end:
            return found
        time.sleep(PAUSE)


if __name__ == "__main__":
    SQSBackend.receive_message = claim_alone
    main()
