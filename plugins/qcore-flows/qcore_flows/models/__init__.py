"""The tables of flows. They belong into the database of the ledger.

Points in time are seconds since the epoch by the clock of that database::

    flows     batches and graphs, their members and edges
    steps     runs of durable tasks
"""

from __future__ import annotations

from qcore.plugins.app import require_app

require_app("qcore_flows", "qcore-flows")

from .flows import EdgeRow, FlowRow, MemberRow  # noqa: E402 - models of an installed app
from .steps import Event, Run, RunStep, Spawned  # noqa: E402

__all__ = ["EdgeRow", "Event", "FlowRow", "MemberRow", "Run", "RunStep", "Spawned"]
