"""The signals of ``django.tasks``: one receiver that fails stops nobody."""

from __future__ import annotations

import logging
from typing import Any

logger = logging.getLogger("qcore.backend")


def tell(signal: Any, sender: type, result: Any) -> None:
    """Send a signal of ``django.tasks``; a receiver that raises is logged."""
    answers = signal.send_robust(sender, task_result=result)
    for receiver, answer in answers:
        if isinstance(answer, Exception):
            name = getattr(receiver, "__qualname__", type(receiver).__name__)
            logger.error(
                "a receiver of a signal of django.tasks failed: %s for task id=%s",
                name, result.id, exc_info=answer,
            )  # fmt: skip
