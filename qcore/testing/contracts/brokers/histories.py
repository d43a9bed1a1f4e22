"""What a broker promises about calls in any order, compared with a model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import pytest

from ....brokers.base import Broker
from ...speed import stretched
from ..stateful import walk
from .case import BrokerCase, Connect
from .life import Bench, Clock, QueueLife, RealClock


class HistoriesContract(BrokerCase):
    """Sending, claiming, ends, deaths and time in any order."""

    #: Each is a walk of so many calls, chosen at random; ``range(100)`` for a night.
    seeds: ClassVar[Iterable[int]] = (1,)
    steps: ClassVar[int] = 100
    #: With a clock of the tests: lives of a queue that Hypothesis chooses.
    examples: ClassVar[int] = 20

    @pytest.fixture
    def clock(self) -> Clock:
        """Return the clock that the broker goes by.

        Where the tests have one (``real`` is False), nothing is waited for, and
        Hypothesis (``pip install hypothesis``) looks for the shortest history that fails.
        """
        return RealClock()

    def test_any_history_agrees_with_the_model(
        self, connect: Connect, clock: Clock, queue: str
    ) -> None:
        """In any order of calls nothing is lost, nothing has two owners, sizes are true."""
        self.require(connect(), "receipts")
        opened = 0

        def connect_to(name: str | None = None) -> Broker:
            nonlocal opened
            opened += 1
            return connect(name or f"{queue}-{opened}")

        bench = Bench(
            connect=connect_to,
            clock=clock,
            lease=self.lease,
            patience=stretched(self.patience),
            late_acknowledge=self.late_acknowledge,
        )
        for seed in self.seeds:
            walk(QueueLife(bench), seed, self.steps)
        if not clock.real:
            pytest.importorskip("hypothesis")
            from ..machine import run

            run(lambda: QueueLife(bench), QueueLife, self.examples, self.steps)
