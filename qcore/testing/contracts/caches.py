"""The contract of a cache backend, as tests that a plugin inherits.

Write one fixture::

    class TestMemcached(CacheBackendContract):
        @pytest.fixture
        def make_cache(self, server):  # called twice, both see the same values
            return lambda: MemcachedCache(Conf.from_dict({"memcached": server.options}))

Every test asks for one promise, which is its docstring. Keys are made up for each
test, so what others have stored does no harm.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import secrets
import threading
import time
from collections.abc import Callable
from typing import ClassVar

import pytest

from ...caches.base import CacheBackend
from ...errors import StoreError, StoreUnavailable
from ..outages import Outage
from ..speed import Patience, quickest
from .forking import in_child

MakeCache = Callable[[], CacheBackend]

#: Keys that text protocols, file names and memcached each get wrong.
AWKWARD = ("with space", "ü", "x" * 300, "line\nbreak", "a:b/c", "%s{}", "")


class CacheBackendContract:
    """Everything that qcore relies on a cache backend for."""

    #: Seconds that a slow service gets beyond what is promised: a whole one where it
    #: counts in seconds.
    patience: ClassVar[float] = 5.0
    #: Whether threads and other processes can reach the service of these tests.
    crosses_threads: ClassVar[bool] = True
    crosses_processes: ClassVar[bool] = True

    # -- fixtures --------------------------------------------------------------
    @pytest.fixture
    def make_cache(self) -> MakeCache:
        """Return a callable without arguments that returns a backend."""
        raise NotImplementedError(
            f"{type(self).__name__} must define the fixture make_cache;"
            " see qcore.testing.contracts.caches"
        )

    @pytest.fixture
    def cache(self, make_cache: MakeCache) -> CacheBackend:
        """One backend."""
        return make_cache()

    @pytest.fixture
    def key(self) -> str:
        """An unused key; other keys begin with it."""
        return f"contract:{secrets.token_hex(6)}"

    @pytest.fixture
    def unreachable(self) -> CacheBackend | None:
        """Return a backend whose service is away; None where it cannot be."""
        return None

    @pytest.fixture
    def outage(self) -> Outage | None:
        """Return a callable whose context takes the service away; None skips its test."""
        return None

    def after_fork(self) -> None:
        """Drop inherited connections; runs in a forked child before it opens a cache."""

    # -- values ----------------------------------------------------------------
    def test_values_come_back(self, cache: CacheBackend, key: str) -> None:
        """Bytes come out as they went in, one by one and together."""
        cache.set(f"{key}a", b"1", None)
        cache.set_many({f"{key}b": b"", f"{key}c": b"\0\xff\r\n"}, 60)
        assert cache.get(f"{key}a") == b"1"
        keys = [f"{key}{letter}" for letter in "abcd"]
        found = cache.get_many(keys)
        assert found == {keys[0]: b"1", keys[1]: b"", keys[2]: b"\0\xff\r\n"}

    def test_the_last_value_counts(self, cache: CacheBackend, key: str) -> None:
        """A value that is set again replaces the one before."""
        cache.set(key, b"first", 60)
        cache.set(key, b"second", None)
        assert cache.get(key) == b"second"

    def test_large_values_come_back(self, cache: CacheBackend, key: str) -> None:
        """A value of half a megabyte is kept whole."""
        value = secrets.token_bytes(1024) * 512
        cache.set(key, value, 60)
        assert cache.get(key) == value

    def test_what_is_not_there_is_left_out(self, cache: CacheBackend, key: str) -> None:
        """Without a value: None, and no entry."""
        assert cache.get(key) is None
        assert cache.get_many([key]) == {}

    def test_nothing_is_asked_and_nothing_done(self, cache: CacheBackend) -> None:
        """No keys and no values are no error."""
        cache.set_many({}, 60)
        cache.delete_many([])
        assert cache.get_many([]) == {}

    def test_keys_that_any_iterable_holds(self, cache: CacheBackend, key: str) -> None:
        """Keys may come from a generator, which can be read once."""
        cache.set(key, b"1", 60)
        assert cache.get_many(one for one in [key]) == {key: b"1"}
        cache.delete_many(one for one in [key])
        assert cache.get(key) is None

    def test_deleted_is_gone(self, cache: CacheBackend, key: str) -> None:
        """Deleting forgets a value, leaves the others, and may be done twice."""
        cache.set_many({f"{key}a": b"1", f"{key}b": b"2"}, 60)
        for _ in range(2):
            cache.delete_many([f"{key}a", f"{key}none"])
        assert cache.get_many([f"{key}a", f"{key}b"]) == {f"{key}b": b"2"}

    @pytest.mark.parametrize("awkward", AWKWARD)
    def test_every_key_is_taken(
        self, cache: CacheBackend, key: str, awkward: str
    ) -> None:
        """Any text is a key, and no two of them are the same."""
        cache.set_many({f"{key}{one}": one.encode() for one in AWKWARD}, 60)
        assert cache.get(f"{key}{awkward}") == awkward.encode()
        assert cache.count(f"{key}{awkward} counter", 60) == 1

    # -- time ------------------------------------------------------------------
    def test_values_are_forgotten_after_their_time(
        self, cache: CacheBackend, key: str
    ) -> None:
        """A value with a time to live is not there for ever; one without is."""
        cache.set(f"{key}long", b"2", None)
        cache.set(f"{key}short", b"1", 0.2)
        patience = Patience(1 + self.patience)
        while cache.get(f"{key}short") is not None:
            assert not patience.is_over(), "0.2 seconds are over, and it is there"
            time.sleep(0.05)
        assert cache.get(f"{key}long") == b"2"

    def test_short_times_are_not_none_at_all(
        self, cache: CacheBackend, key: str
    ) -> None:
        """A time below a second is rounded up, and never down to nothing."""
        found = None

        def use() -> None:
            nonlocal found
            cache.set(key, b"1", 0.4)
            found = cache.get(key)

        # a slow machine may sleep over the whole second
        quickest(use, 0.4)
        assert found == b"1"

    @pytest.mark.parametrize("ttl", [1e9, 1e12, math.inf])
    def test_a_very_long_time_is_for_ever(
        self, cache: CacheBackend, key: str, ttl: float
    ) -> None:
        """A time to live that no calendar has is no error, and no short one."""
        cache.set(key, b"1", ttl)
        assert cache.get(key) == b"1"
        assert cache.add(f"{key}added", b"2", ttl) is True
        assert cache.count(f"{key}counted", ttl) == 1
        assert cache.get(f"{key}added") == b"2"

    # -- errors ------------------------------------------------------------------
    def test_what_it_cannot_take_is_refused(
        self, cache: CacheBackend, key: str
    ) -> None:
        """What a driver raises for a value or a time is told as an error of qcore."""
        with contextlib.suppress(StoreError):
            cache.set(key, b"1", math.nan)
        with contextlib.suppress(StoreError):
            cache.set(key, b"x" * 3 * 1024 * 1024, 60)
        cache.set(key, b"2", 60)
        assert cache.get(key) == b"2"

    def test_a_service_that_is_away_is_told(
        self, unreachable: CacheBackend | None
    ) -> None:
        """Each method raises StoreUnavailable, which says that waiting helps."""
        if unreachable is None:
            pytest.skip("what it is tested on is never away")
        calls: list[Callable[[], object]] = [
            lambda: unreachable.get("a"),
            lambda: unreachable.get_many(["a", "b"]),
            lambda: unreachable.set("a", b"1", 60),
            lambda: unreachable.set_many({"a": b"1", "b": b"2"}, 60),
            lambda: unreachable.add("a", b"1", 60),
            lambda: unreachable.count("a", 60),
            lambda: unreachable.delete_many(["a"]),
        ]
        for call in calls:
            with pytest.raises(StoreUnavailable):
                call()

    def test_it_works_again_after_an_outage(
        self, cache: CacheBackend, outage: Outage | None, key: str
    ) -> None:
        """Meanwhile there are errors of qcore; then the same backend works as before."""
        if outage is None:
            pytest.skip("what it is tested on is never away")
        cache.set(key, b"before", None)
        with outage():
            for _ in range(2):
                with pytest.raises(StoreError):
                    cache.get(key)
                with pytest.raises(StoreError):
                    cache.set(key, b"meanwhile", 60)
            cache.close()  # that is no error where nothing is open
        cache.set(key, b"after", None)
        assert cache.get(key) == b"after"

    # -- one winner --------------------------------------------------------------
    def test_only_the_first_is_added(self, cache: CacheBackend, key: str) -> None:
        """``add`` keeps a value where there is none, and says whether it did."""
        assert cache.add(key, b"1", 60) is True
        assert cache.add(key, b"2", 60) is False
        assert cache.get(key) == b"1"
        cache.delete_many([key])
        assert cache.add(key, b"3", None) is True

    @pytest.mark.parametrize("ttl", [None, 60, 0.5])
    def test_counting_begins_with_one(
        self, cache: CacheBackend, key: str, ttl: float | None
    ) -> None:
        """``count`` returns 1, 2, 3, each key for itself, and ``get`` sees the last."""
        counted: list[int] = []
        numbers = itertools.count()

        def use() -> None:
            own = f"{key}{next(numbers)}"
            counted[:] = [cache.count(own, ttl) for _ in range(3)]
            counted.append(cache.count(f"{own}other", ttl))
            counted.append(int(cache.get(own) or b"0"))

        # a slow machine may sleep over the time to live
        quickest(use, ttl or 60)
        assert counted == [1, 2, 3, 1, 3]

    def test_threads_never_count_the_same(
        self, make_cache: MakeCache, key: str
    ) -> None:
        """Four threads that count together get each number once."""
        if not self.crosses_threads:
            pytest.skip("what it is tested on belongs to one thread")
        start = threading.Barrier(4)
        counted: list[int] = []

        def work() -> None:
            mine = make_cache()
            start.wait()
            counted.extend(mine.count(key, 60) for _ in range(25))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(counted) == list(range(1, 101))

    # -- who sees it ---------------------------------------------------------------
    def test_others_see_it_if_it_is_shared(
        self, make_cache: MakeCache, key: str
    ) -> None:
        """``is_shared`` says whether another process sees what this one writes."""
        if not self.crosses_processes:
            pytest.skip("what it is tested on belongs to one process")
        cache = make_cache()

        def work() -> None:
            self.after_fork()
            make_cache().set(key, b"of the child", 60)

        assert in_child(work) == 0, "the child failed; see its traceback above"
        assert (cache.get(key) is not None) is cache.is_shared

    def test_what_was_closed_works_on_both_sides_of_a_fork(
        self, make_cache: MakeCache, key: str
    ) -> None:
        """After ``close`` a fork may use the backend as its parent does, each for itself."""
        if not self.crosses_processes:
            pytest.skip("what it is tested on belongs to one process")
        cache = make_cache()
        cache.set(f"{key}parent", b"1", 60)
        cache.close()

        def work() -> None:
            self.after_fork()
            for number in range(20):
                cache.set(f"{key}child", b"%d" % number, 60)
                assert cache.get(f"{key}child") == b"%d" % number
            cache.close()

        assert in_child(work) == 0, "the child failed; see its traceback above"
        cache.set(f"{key}parent", b"2", 60)
        assert cache.get(f"{key}parent") == b"2"
        cache.close()

    def test_info_names_it(self, cache: CacheBackend) -> None:
        """``info`` is one line for people."""
        assert cache.info().strip()
        assert "\n" not in cache.info()
