"""Results to store, and stores and brokers that begin empty."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from qcore.brokers.memory import MemoryBroker
from qcore.results.memory import MemoryStore
from qcore.runtime import current
from qcore.testing.samples import MakeResult, result_maker


@pytest.fixture
def make() -> MakeResult:
    """Make a result; each one a second after the one before."""
    return result_maker()


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Leave nothing in the memory of this process."""
    yield
    MemoryStore.clear()
    MemoryBroker._queues.clear()
    current.reset()
