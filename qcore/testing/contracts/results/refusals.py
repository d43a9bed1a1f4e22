"""What a result store promises about results that it cannot store."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable

import msgspec
import pytest

from ....envelope import Options, Result
from ....errors import StoreError
from ....results.base import ResultStore
from ..samples import MakeResult
from .case import StoreCase


def _odd(make: MakeResult, **fields: object) -> Result:
    return msgspec.structs.replace(make("odd"), **fields)


#: Results that this or that store cannot take. A store may take them, too.
AWKWARD: dict[str, Callable[[MakeResult], Result]] = {
    "a large value": lambda make: make("x" * 3_000_000),
    "many attempts": lambda make: _odd(make, attempt=2**70),
    "no time": lambda make: _odd(make, started=math.nan),
    "the end of time": lambda make: _odd(make, stopped=1e300),
    "a lone surrogate": lambda make: make("odd", name="\ud800"),
    "a place beyond all": lambda make: make("odd", group="g", iter_index=2**70),
    "cached for ever and ever": lambda make: make(
        "odd", options=Options(cached=math.inf)
    ),
}


class RefusalsContract(StoreCase):
    """A result that cannot be stored stops no other result."""

    @pytest.mark.parametrize("what", AWKWARD)
    def test_what_cannot_be_stored_is_refused_and_stops_nothing(
        self, store: ResultStore, make: MakeResult, what: str
    ) -> None:
        # no error but StoreError tells that it is of the store
        with contextlib.suppress(StoreError):
            store.save([AWKWARD[what](make)])
        after = make("after")
        store.save([after])
        assert self.get(store, after.task.id).result == "after"

    @pytest.mark.parametrize("what", AWKWARD)
    def test_a_batch_is_stored_whole_or_not_at_all(
        self, store: ResultStore, make: MakeResult, what: str
    ) -> None:
        others = [make(n) for n in range(4)]
        bad = AWKWARD[what](make)
        try:
            store.save([*others[:2], bad, *others[2:]])
        except StoreError:
            found = [store.fetch(one.task.id) for one in others]
            assert found == [None] * 4
        else:
            for one in others:
                self.get(store, one.task.id)

    def test_ping_answers_and_leaves_nothing(self, store: ResultStore) -> None:
        store.ping()
        store.ping()
        assert store.fetch("qcore.probe") is None
