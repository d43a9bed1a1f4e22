"""The cache backend on Django's caches, and what only the cached store does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.core.cache import caches
from django.core.management import call_command
from django.test import override_settings

from qcore.caches.django import DjangoCache
from qcore.conf import Conf
from qcore.current import current
from qcore.envelope import Options, new_id
from qcore.errors import ConfigError, StoreError
from qcore.results.cache import CacheStore
from qcore.testing import CacheBackendContract

if TYPE_CHECKING:
    from servers.redis import RedisServer

    from qcore.testing.caches import MakeCache

BACKENDS = "django.core.cache.backends"


def use(backend: str, location: str = "") -> Iterator[MakeCache]:
    """Let a backend of Django be the cache ``default``, and empty."""
    entry = {"BACKEND": f"{BACKENDS}.{backend}", "LOCATION": location}
    with override_settings(CACHES={"default": entry}):
        caches["default"].clear()
        yield lambda: DjangoCache(Conf())
        caches["default"].close()


class TestLocalMemory(CacheBackendContract):
    @pytest.fixture
    def make_cache(self) -> Iterator[MakeCache]:
        yield from use("locmem.LocMemCache")


class TestFiles(CacheBackendContract):
    @pytest.fixture
    def make_cache(self, tmp_path: Path) -> Iterator[MakeCache]:
        yield from use("filebased.FileBasedCache", str(tmp_path))


class TestRedis(CacheBackendContract):
    @pytest.fixture
    def make_cache(self, redis_server: RedisServer) -> Iterator[MakeCache]:
        yield from use("redis.RedisCache", redis_server.url())


class TestDatabase(CacheBackendContract):
    # connections of Django belong to one thread of one process, and so does SQLite's
    # memory
    crosses_threads = False
    crosses_processes = False

    @pytest.fixture
    def make_cache(self, transactional_db: None) -> Iterator[MakeCache]:
        entry = {"BACKEND": f"{BACKENDS}.db.DatabaseCache", "LOCATION": "cache_table"}
        with override_settings(CACHES={"default": entry}):
            call_command("createcachetable", verbosity=0)
        yield from use("db.DatabaseCache", "cache_table")


@pytest.mark.parametrize(
    ("backend", "shared"),
    [
        ("locmem.LocMemCache", False),
        ("dummy.DummyCache", False),
        ("db.DatabaseCache", True),
    ],
)
def test_whether_others_see_it(backend, shared):
    entry = {"BACKEND": f"{BACKENDS}.{backend}", "LOCATION": "x"}
    with override_settings(CACHES={"default": entry}):
        cache = DjangoCache(Conf())
        assert cache.is_shared is shared
        assert cache.info() == f"{backend.partition('.')[2]} (default)"


def test_an_unknown_alias_is_refused():
    with pytest.raises(ConfigError, match=r"'defualt'.*did you mean 'default'"):
        DjangoCache(Conf(cache="defualt"))


# -- the cached store --------------------------------------------------------------------------
class Recording(DjangoCache):
    """Remembers the time to live of what it is given."""

    def __init__(self, conf: Conf) -> None:
        super().__init__(conf)
        self.ttls: set[float | None] = set()

    def set_many(self, values, ttl):
        self.ttls.add(ttl)
        super().set_many(values, ttl)


@pytest.mark.parametrize(
    ("setting", "option", "ttl"),
    [
        (True, None, None),
        (60, None, 60),
        (False, 30, 30),
        (60, 30, 30),
        (60, True, None),
    ],
)
def test_results_live_as_long_as_they_should(make, setting, option, ttl):
    caches["default"].clear()
    conf = Conf(cached=setting)
    cache = Recording(conf)
    options = Options() if option is None else Options(cached=option)
    group = new_id()
    store = CacheStore(conf, cache)
    store.save([make(options=options), make(options=options, group="g")])
    store.save([make(options=options, group=group, iter_index=0, iter_count=1)])
    assert store.collate(group, 1) is True
    assert cache.ttls == {ttl}


def test_a_result_without_its_place_is_found_by_the_next_save(make, monkeypatch):
    caches["default"].clear()
    cache = DjangoCache(Conf())
    store, result = CacheStore(Conf(), cache), make(1, group="g")

    def broken(values, ttl):
        raise ConnectionError("away")

    with monkeypatch.context() as patch:
        patch.setattr(cache, "set_many", broken)
        with pytest.raises(StoreError, match=r"cannot store results.*away"):
            store.save([result])
    store.save([result])
    assert [record.result for record in store.fetch_group("g", failures=True)] == [1]


def test_what_a_cache_raises_is_a_store_error(make):
    entry = {
        "BACKEND": f"{BACKENDS}.redis.RedisCache",
        "LOCATION": "redis://127.0.0.1:1",
    }
    with override_settings(CACHES={"default": entry}):
        store = CacheStore(current.conf)
        with pytest.raises(StoreError, match="cannot read a result in the cache"):
            store.fetch(new_id())


def test_records_hold_no_pickles_of_ours(make):
    caches["default"].clear()
    cache = DjangoCache(Conf())
    CacheStore(Conf(name="site"), cache).save([make("readable", id="1" * 32)])
    assert b"readable" in cache.get(f"site:task:{'1' * 32}")
