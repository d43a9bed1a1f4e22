"""The pusher, for tests that run in one process: from the broker into a queue."""

from __future__ import annotations

import time
from typing import Any

from qcore.errors import PackageError
from qcore.runtime import current

from .brokers import Broker, get_broker
from .conf import Conf, logger
from .signing import bytes_of
from .work import Order


def pusher(task_queue: Any, event: Any, broker: Broker | None = None) -> None:
    """Put what the broker has into a queue, until ``event`` is set.

    Where it is set already, the broker is asked once.

    Args:
        task_queue: takes the tasks.
        event: ends the loop.
        broker: None means the project's own.
    """
    broker = broker or get_broker()
    while True:
        for ack_id, text in broker.dequeue() or ():
            try:
                task = current.signer.verify(bytes_of(text))
            except PackageError as error:
                logger.error("a package is refused: %s", error)
                broker.fail(ack_id)
                continue
            task_queue.put(Order(task, ack_id))
        if event.is_set():
            return
        time.sleep(float(Conf.POLL))
