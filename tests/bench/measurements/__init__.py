"""What can be measured of a contender; each module holds measurements of one kind."""

from __future__ import annotations

from .base import Measurement, Plan
from .depth import RESULTS, WAITING
from .faults import KILLED, RESTART
from .idle import IDLE
from .latency import LATENCY
from .ledger import CANCEL, OUTBOX, RESTING, WITHIN
from .rates import BATCH, DRAIN
from .scale import CLUSTERS_OF_ONE_QUEUE, SCALE
from .schedules import SCHEDULES

_ALL = (
    *(DRAIN, BATCH, LATENCY, IDLE, WAITING, RESULTS),
    *(SCALE, CLUSTERS_OF_ONE_QUEUE, SCHEDULES, KILLED, RESTART),
    *(OUTBOX, CANCEL, RESTING, WITHIN),
)
#: By name, in the order in which they are described.
MEASUREMENTS: dict[str, Measurement] = {one.name: one for one in _ALL}

__all__ = ["MEASUREMENTS", "Measurement", "Plan"]
