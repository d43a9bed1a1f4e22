"""What a result store promises about outages and forks."""

from __future__ import annotations

import pytest

from ....errors import StoreError
from ....results.base import ResultStore
from ...outages import Outage
from ..forking import in_child
from ..samples import MakeResult
from .case import StoreCase


class ConnectionsContract(StoreCase):
    """Connections end and are made again."""

    def test_a_store_works_again_after_an_outage(
        self, store: ResultStore, make: MakeResult, outage: Outage | None
    ) -> None:
        if outage is None:
            pytest.skip("what it is tested on is never away")
        before, meanwhile = make("before"), make("meanwhile")
        store.save([before])
        with outage():
            for _ in range(2):
                with pytest.raises(StoreError):
                    store.save([meanwhile])
                with pytest.raises(StoreError):
                    store.fetch(before.task.id)
                with pytest.raises(StoreError):
                    store.ping()
            store.close()  # that is no error where nothing is open
        store.save([meanwhile])
        assert self.get(store, meanwhile.task.id).result == "meanwhile"
        assert self.get(store, before.task.id).result == "before"

    def test_a_closed_store_works_on_both_sides_of_a_fork(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        if not self.crosses_processes:
            pytest.skip("what it is tested on belongs to one process")
        results = [make(number) for number in range(20)]
        last = make("last")
        store.save([make("first")])
        store.close()

        def work() -> None:
            self.after_fork()
            for one in results:
                store.save([one])
                self.get(store, one.task.id)
            store.close()

        assert in_child(work) == 0, "the child failed; see its traceback above"
        store.save([last])
        assert self.get(store, last.task.id).result == "last"
        store.close()
