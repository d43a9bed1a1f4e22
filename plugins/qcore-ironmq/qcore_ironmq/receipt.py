"""A receipt: one delivery, by the reservation that holds it now."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Receipt:
    """Equal to itself only.

    Each renewal gives a message another reservation id and voids the one before, and
    the thread that renews is not the one that acknowledges. Both have this object: who
    sends the id to the service holds ``lock`` until the reply is there.
    """

    id: str
    """The id of the message."""
    reservation: str
    """The id of its reservation; changes under ``lock`` only."""
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
