"""What a result store promises about the results of an ``async_iter``."""

from __future__ import annotations

import msgspec

from ....envelope import Outcome, new_id
from ....results.base import ResultStore
from ..samples import MakeResult, elements
from .case import StoreCase


class JoiningContract(StoreCase):
    """The results of one ``async_iter`` become one result."""

    def test_an_iter_is_joined_once_all_are_there(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        group = new_id()
        results = elements(make, group, 3)
        store.save(results[::2])
        assert store.collate(group, 3) is False
        assert store.fetch(group) is None
        store.save(results[1:2])
        assert store.collate(group, 3) is True
        joined = self.get(store, group)
        assert joined.result == [0, 10, 20]
        assert joined.args == ([0], [1], [2])
        assert joined.success is True
        assert joined.group == group
        assert store.fetch(results[0].task.id) is None

    def test_joining_twice_is_harmless(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        group = new_id()
        results = elements(make, group, 2)
        store.save(results)
        assert store.collate(group, 2) is True
        assert store.collate(group, 2) is True
        store.save(results[:1])  # delivered once more, and late
        assert store.collate(group, 2) is True
        assert self.get(store, group).result == [0, 10]
        assert store.count_group(group, failures=False) == 1
        assert store.fetch(results[0].task.id) is None

    def test_an_iter_with_a_failure_is_a_failure(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        group = new_id()
        good, bad = elements(make, group, 2)
        bad = msgspec.structs.replace(
            bad, outcome=Outcome.TIMEOUT, content="text", value=b'no "luck"'
        )
        store.save([bad, good])
        assert store.collate(group, 2) is True
        joined = self.get(store, group)
        assert joined.success is False
        assert joined.outcome == Outcome.TIMEOUT
        assert joined.result == [0, 'no "luck"']

    def test_an_iter_waits_for_a_call_that_may_still_succeed(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        group = new_id()
        well, first, other = elements(make, group, 3)
        failed = msgspec.structs.replace(
            first, outcome=Outcome.FAILURE, content="text", value=b"no", final=False
        )
        store.save([failed, well, other])
        assert store.collate(group, 3) is False
        assert store.fetch(group) is None
        store.save([msgspec.structs.replace(first, attempt=2)])
        assert store.collate(group, 3) is True
        joined = self.get(store, group)
        assert (joined.success, joined.result) == (True, [0, 10, 20])

    def test_calls_that_are_separated_are_results_of_their_own(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        # as after a list that was too long to be stored
        group = new_id()
        calls = elements(make, group, 3)
        store.save(calls)
        store.save([make(id=group, group=group, outcome=Outcome.FAILURE)])
        store.separate(group)
        assert store.collate(group, 3) is True
        found = store.fetch_group(group, failures=False)
        assert [record.result for record in found] == [0, 10, 20]
        assert self.get(store, group).success is False

    def test_elements_that_wait_are_not_members_of_the_group(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        group = new_id()
        store.save(elements(make, group, 3)[:2])
        assert store.count_group(group, failures=False) == 0
        assert store.fetch_group(group, failures=True) == []

    def test_joining_more_than_one_page(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        group = new_id()
        store.save(elements(make, group, 1203))
        assert store.collate(group, 1203) is True
        assert self.get(store, group).result == [n * 10 for n in range(1203)]
