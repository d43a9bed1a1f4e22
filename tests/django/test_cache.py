"""The cache backend on Django's caches, and what only the cached store does."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import ANY

import msgspec
import pytest
import redis
from django.core.cache import caches
from django.core.management import call_command
from django.db import DataError, OperationalError
from django.test import override_settings

from qcore import status
from qcore.caches.django import DjangoCache
from qcore.caches.failures import translate
from qcore.caches.raw import BytesSerde
from qcore.conf import Conf
from qcore.envelope import Options, new_id
from qcore.errors import ConfigError, StoreError, StoreRefused, StoreUnavailable
from qcore.results.cache import CacheStore
from qcore.runtime import current
from qcore.testing import CacheBackendContract

if TYPE_CHECKING:
    from servers.redis import RedisServer

    from qcore.caches.base import CacheBackend
    from qcore.testing.contracts.caches import MakeCache

#: Where no Redis listens.
NOBODY = "redis://127.0.0.1:1"
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

    @pytest.fixture
    def unreachable(self) -> Iterator[CacheBackend]:
        entry = {"BACKEND": f"{BACKENDS}.redis.RedisCache", "LOCATION": NOBODY}
        with override_settings(CACHES={"default": entry}):
            yield DjangoCache(Conf())


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


@pytest.fixture
def snapshot() -> status.Snapshot:
    """What a cluster says of itself."""
    words = dict.fromkeys(("name", "queue", "host", "version", "broker"), "shop")
    return status.Snapshot(
        cluster="a" * 32, state="running", sentinel_pid=1, dispatcher_pid=2,
        started=1.0, at=2.0, workers=[], **words,
    )  # fmt: skip


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
        with pytest.raises(StoreUnavailable, match="cannot store results in the cache"):
            store.save([make()])


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionResetError(), StoreUnavailable),
        (redis.TimeoutError(), StoreUnavailable),
        (redis.ReadOnlyError(), StoreUnavailable),
        (redis.ResponseError("OOM command not allowed"), StoreUnavailable),
        (redis.ResponseError("MISCONF no disk"), StoreUnavailable),
        (OperationalError("gone"), StoreUnavailable),
        (OverflowError("date"), StoreRefused),
        (DataError("too long"), StoreRefused),
        (redis.ResponseError("invalid expire time"), StoreError),
        (RuntimeError("a bug"), StoreError),
    ],
)
def test_errors_are_told_apart(error, kind):
    assert type(translate(error, "write")) is kind


# -- nothing is unpickled ------------------------------------------------------------------
class Evil:
    """Runs code where it is unpickled."""

    def __reduce__(self):
        return raise_for_evil, ()


def raise_for_evil():
    raise AssertionError("a pickle was opened")


@pytest.fixture
def in_redis(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """Let the cache be in Redis, and give a client that writes there as it likes."""
    entry = {"BACKEND": f"{BACKENDS}.redis.RedisCache", "LOCATION": redis_server.url()}
    with (
        override_settings(CACHES={"default": entry}),
        redis.Redis.from_url(redis_server.url()) as client,
    ):
        client.flushdb()
        current.reset()
        yield client
        client.flushdb()
    current.reset()


@pytest.mark.fault("H10")
@pytest.mark.parametrize("forged", [pickle.dumps(Evil()), b"12", b"qs1" + bytes(60)])
def test_what_strangers_write_into_the_cache_is_neither_opened_nor_believed(
    in_redis, make, snapshot, forged, caplog
):
    store, result, group = CacheStore(current.conf), make(1, group="g"), new_id()
    store.save([result, make(2, group=group, iter_index=0, iter_count=1)])
    status.publish(snapshot)
    assert status.snapshots() == [msgspec.structs.replace(snapshot, keys=ANY)]
    for key in in_redis.scan_iter():
        assert in_redis.type(key) == b"string"
        in_redis.set(key, forged)
    assert status.snapshots() == []
    assert store.fetch(result.task.id) is None
    assert store.finished([result.task.id]) == {}
    assert store.crashes([result.task.id]) == {result.task.id: 0}
    assert store.fetch_group("g", failures=True) == []
    assert store.collate(group, 1) is False
    assert "no key of this project has signed" in caplog.text
    other = make(2, id=result.task.id, attempt=2)
    store.save([other])
    assert store.fetch(result.task.id).result == 2, "the forgery was no success of ours"


def test_a_signed_value_cannot_be_moved_to_another_key(in_redis, make):
    store, mine, other = CacheStore(current.conf), make("mine"), make("other")
    store.save([mine, other])
    keys = {id: key for key in in_redis.scan_iter() for id in (mine.task.id, other.task.id)
            if key.endswith(f":task:{id}".encode())}  # fmt: skip
    in_redis.set(keys[mine.task.id], in_redis.get(keys[other.task.id]))
    assert store.fetch(mine.task.id) is None
    assert store.fetch(other.task.id).result == "other"


def test_values_under_an_older_key_are_ours(in_redis, make):
    old, both = Conf(signing_keys=("old",)), Conf(signing_keys=("new", "old"))
    result = make("kept")
    CacheStore(old).save([result])
    assert CacheStore(both).fetch(result.task.id).result == "kept"
    assert CacheStore(Conf(signing_keys=("new",))).fetch(result.task.id) is None


@pytest.mark.parametrize("value", [b"", b"12", b"\x80\x05K\x01."])
def test_memcached_gets_and_gives_bytes(value):
    """Whatever flags a stranger has stored: pymemcache's own serde unpickles by a flag."""
    serde = BytesSerde()
    assert serde.deserialize(b"key", *serde.serialize(b"key", value)) == value
    assert serde.deserialize(b"key", value, flags=1) == value
    assert serde.serialize(b"key", 12) == (b"12", 0)


def test_records_hold_no_pickles_of_ours(make):
    caches["default"].clear()
    cache = DjangoCache(Conf())
    CacheStore(Conf(name="site"), cache).save([make("readable", id="1" * 32)])
    assert b"readable" in cache.get(f"site:task:{'1' * 32}")
