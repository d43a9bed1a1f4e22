"""What the parts of the contract of result stores share."""

from __future__ import annotations

from typing import ClassVar

import pytest

from ....results.base import Record, ResultStore
from ...outages import Outage
from ..samples import MakeResult, result_maker


class StoreCase:
    """Fixtures and helpers; the attributes may be overridden by a plugin's tests."""

    #: Whether other processes can reach the service of these tests; True asks for forks.
    crosses_processes: ClassVar[bool] = False

    @pytest.fixture
    def store(self) -> ResultStore:
        """Return a store that holds nothing, and keeps whatever it is given."""
        raise NotImplementedError(
            f"{type(self).__name__} must define the fixture store;"
            " see qcore.testing.contracts.results"
        )

    @pytest.fixture
    def outage(self) -> Outage | None:
        """Return a callable whose context takes the service away; None skips its test."""
        return None

    def after_fork(self) -> None:
        """Drop inherited connections; runs in a forked child before it uses the store."""

    @pytest.fixture
    def make(self) -> MakeResult:
        """Make results, each one a second after the one before."""
        return result_maker()

    def get(self, store: ResultStore, key: str) -> Record:
        """Return a record that must be there."""
        record = store.fetch(key)
        assert record is not None, f"nothing is stored under {key!r}"
        return record
