"""The tables of flows. They belong into the database of the ledger.

Points in time are seconds since the epoch by the clock of that database::

    flows     batches and graphs, their members and edges
    steps     runs of durable tasks
"""

from __future__ import annotations

from .flows import EdgeRow, FlowRow, MemberRow
from .steps import Event, Run, RunStep

__all__ = ["EdgeRow", "Event", "FlowRow", "MemberRow", "Run", "RunStep"]
