"""What a result store promises about counting."""

from __future__ import annotations

import datetime as dt

import pytest

from ....envelope import Outcome, new_id
from ....errors import StoreError
from ....results.base import ResultStore
from ..samples import MakeResult, elements
from .case import StoreCase


class CountsContract(StoreCase):
    """Counts are right, or counting is refused."""

    def test_what_is_stored_is_counted_or_counting_refused(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        if not store.supports_counts:
            with pytest.raises(StoreError):
                store.count()
            return
        assert (store.count().succeeded, store.count().failed) == (0, 0)
        failure = make(outcome=Outcome.FAILURE)
        results = [make(1), make(2, group="g"), failure]
        store.save(results)
        store.save([make(3, id=failure.task.id, attempt=2)])
        store.save(elements(make, new_id(), 3)[:2])  # they wait to be joined
        store.save([make(outcome=Outcome.CRASH)])
        found = store.count()
        assert (found.succeeded, found.failed) == (3, 1)
        store.delete(results[0].task.id)
        assert store.count().succeeded == 2

    def test_counting_begins_at_a_moment(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        if not store.supports_counts:
            pytest.skip("it cannot count")
        results = [make(1), make(2), make(outcome=Outcome.FAILURE)]
        store.save(results)
        # between two stops, which are a second apart
        since = dt.datetime.fromtimestamp(results[1].stopped - 0.5, dt.UTC)
        found = store.count(since)
        assert (found.succeeded, found.failed) == (1, 1)
        taken = sum(one.stopped - one.started for one in results[1:])
        assert found.seconds == pytest.approx(taken, abs=0.01)
        later = dt.datetime.fromtimestamp(results[2].stopped + 60, dt.UTC)
        assert store.count(later).total == 0
        assert store.count(later).average is None

    def test_quarantine_is_counted_where_it_is_kept(self, store: ResultStore) -> None:
        before = store.quarantined()
        store.quarantine("q", b"garbled", "BadSignature", "of a contract test")
        after = store.quarantined()
        assert (before, after) in ((None, None), (0, 1))
