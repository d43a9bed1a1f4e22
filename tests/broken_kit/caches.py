"""Cache backends that break a promise."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Mapping
from typing import ClassVar

import pytest
from broken_kit.common import (
    KeepsItsConnection,
    LosesItsConnection,
    Outages,
    Service,
    cases,
)

from qcore.caches.base import CacheBackend
from qcore.conf import Conf
from qcore.errors import StoreUnavailable
from qcore.testing import CacheBackendContract


class Sound(Service, CacheBackend):
    """A dictionary of this process. Each subclass has one fault."""

    caught_by: ClassVar[str] = ""
    shared = False
    _held: ClassVar[dict[str, tuple[bytes, float]]] = {}
    _lock: ClassVar = threading.RLock()

    def __init__(self, conf: Conf, *, is_away: bool = False) -> None:
        super().__init__(conf)
        self.is_away = is_away

    def name(self, key: str) -> str:
        self.check()
        if self.is_away:
            raise StoreUnavailable("the service is away")
        return key

    def end(self, ttl: float | None) -> float:
        return math.inf if ttl is None else time.monotonic() + max(1, ttl)

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        now = time.monotonic()
        with self._lock:
            found = {key: self._held.get(self.name(key)) for key in keys}
        return {key: held[0] for key, held in found.items() if held and held[1] > now}

    def set_many(self, values: Mapping[str, bytes], ttl: float | None) -> None:
        with self._lock:
            for key, value in values.items():
                self._held[self.name(key)] = (value, self.end(ttl))

    def add(self, key: str, value: bytes, ttl: float | None) -> bool:
        with self._lock:
            if self.get(key) is not None:
                return False
            self.set(key, value, ttl)
            return True

    def count(self, key: str, ttl: float | None) -> int:
        with self._lock:
            number = int(self.get(key) or 0) + 1
            self.set(key, b"%d" % number, ttl)
            return number

    def delete_many(self, keys: Iterable[str]) -> None:
        with self._lock:
            for key in keys:
                self._held.pop(self.name(key), None)


class DropsEmptyValues(Sound):
    caught_by = "test_values_come_back"

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        return {k: value for k, value in super().get_many(keys).items() if value}


class KeepsTheFirst(Sound):
    caught_by = "test_the_last_value_counts"

    def set_many(self, values: Mapping[str, bytes], ttl: float | None) -> None:
        for key, value in values.items():
            self._held.setdefault(self.name(key), (value, self.end(ttl)))


class CutsLargeValues(Sound):
    caught_by = "test_large_values_come_back"

    def set_many(self, values: Mapping[str, bytes], ttl: float | None) -> None:
        super().set_many({k: v[:65_536] for k, v in values.items()}, ttl)


class InventsValues(Sound):
    caught_by = "test_what_is_not_there_is_left_out"

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        keys = list(keys)
        return dict.fromkeys(keys, b"") | super().get_many(keys)


class NeedsAKey(Sound):
    caught_by = "test_nothing_is_asked_and_nothing_done"

    def delete_many(self, keys: Iterable[str]) -> None:
        first, *rest = keys
        super().delete_many([first, *rest])


class ReadsKeysTwice(Sound):
    caught_by = "test_keys_that_any_iterable_holds"

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        return super().get_many(keys) if any(True for _ in keys) else {}


class DeletesTooMuch(Sound):
    caught_by = "test_deleted_is_gone"

    def delete_many(self, keys: Iterable[str]) -> None:
        self._held.clear()


class CutsKeys(Sound):
    caught_by = "test_every_key_is_taken"

    def name(self, key: str) -> str:
        return key.strip().partition("\n")[0]


class KeepsForEver(Sound):
    caught_by = "test_values_are_forgotten_after_their_time"

    def end(self, ttl: float | None) -> float:
        return math.inf


class RoundsDown(Sound):
    caught_by = "test_short_times_are_not_none_at_all"

    def end(self, ttl: float | None) -> float:
        return math.inf if ttl is None else time.monotonic() + int(ttl)


class CountsNanoseconds(Sound):
    caught_by = "test_a_very_long_time_is_for_ever"

    def end(self, ttl: float | None) -> float:
        return super().end(None if ttl is None else int(ttl * 1e9) // 1_000_000_000)


class RaisesWhatItsDriverDoes(Sound):
    caught_by = "test_what_it_cannot_take_is_refused"

    def end(self, ttl: float | None) -> float:
        return super().end(ttl if ttl is None or ttl == math.inf else int(ttl))


class HidesThatItIsAway(Sound):
    caught_by = "test_a_service_that_is_away_is_told"

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        try:
            return super().get_many(keys)
        except StoreUnavailable:
            return {}


class NeverConnectsAgain(LosesItsConnection, Sound):
    caught_by = "test_it_works_again_after_an_outage"


class RaisesOfItsDriverWhenAway(Sound):
    caught_by = "test_it_works_again_after_an_outage"

    def name(self, key: str) -> str:
        if self.away:
            raise ConnectionError("refused")
        return super().name(key)


class BelongsToItsParent(KeepsItsConnection, Sound):
    caught_by = "test_what_was_closed_works_on_both_sides_of_a_fork"


class AddsAlways(Sound):
    caught_by = "test_only_the_first_is_added"

    def add(self, key: str, value: bytes, ttl: float | None) -> bool:
        self.set(key, value, ttl)
        return True


class CountsFromZero(Sound):
    caught_by = "test_counting_begins_with_one"

    def count(self, key: str, ttl: float | None) -> int:
        return super().count(key, ttl) - 1


class LooksThenCounts(Sound):
    caught_by = "test_threads_never_count_the_same"

    def count(self, key: str, ttl: float | None) -> int:
        number = int(self.get(key) or 0) + 1
        time.sleep(0.001)
        self.set(key, b"%d" % number, ttl)
        return number


class SaysThatItIsShared(Sound):
    caught_by = "test_others_see_it_if_it_is_shared"
    shared = True


class HasManyLines(Sound):
    caught_by = "test_info_names_it"

    def info(self) -> str:
        return "one\ntwo"


class Case(Outages, CacheBackendContract):
    kind: ClassVar[type[Sound]]
    patience = 0.5

    @pytest.fixture
    def unreachable(self):
        return self.kind(Conf.from_dict({}), is_away=True)

    @pytest.fixture
    def make_cache(self):
        return lambda: self.kind(Conf.from_dict({}))


globals().update(cases(globals(), Sound, Case))
