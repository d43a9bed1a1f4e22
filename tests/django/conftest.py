"""Results to store, and stores and brokers that begin empty."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from qcore.runtime import current
from qcore.testing.contracts.samples import MakeResult, result_maker


@pytest.fixture
def make() -> MakeResult:
    """Make a result; each one a second after the one before."""
    return result_maker()


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Let no test find the store, or the broker, of the one before."""
    yield
    current.reset()
