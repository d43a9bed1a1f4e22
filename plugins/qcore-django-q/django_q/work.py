"""What the three inline parts hand each other: an order, and what became of it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from qcore.envelope import Result, Task

STOP = "STOP"


@dataclass(frozen=True, slots=True)
class Order:
    """A verified task, and the receipt by which it is acknowledged."""

    task: Task
    ack_id: Hashable


@dataclass(frozen=True, slots=True)
class Done:
    """What became of an order."""

    result: Result
    ack_id: Hashable
