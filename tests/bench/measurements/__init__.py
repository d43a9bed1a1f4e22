"""What can be measured of a contender; each module holds measurements of one kind."""

from __future__ import annotations

from .base import Measurement, Plan
from .latency import LATENCY
from .rates import BATCH, DRAIN

#: By name, in the order in which they are described.
MEASUREMENTS: dict[str, Measurement] = {
    measurement.name: measurement for measurement in (DRAIN, BATCH, LATENCY)
}

__all__ = ["MEASUREMENTS", "Measurement", "Plan"]
