"""The cache backend on Django's caches, and what only the cached store does."""

from __future__ import annotations

from pathlib import Path

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

BACKENDS = "django.core.cache.backends"


@pytest.fixture(params=["locmem", "file", "database", "redis"])
def cache(request: pytest.FixtureRequest, tmp_path: Path, db: None):
    entry: dict[str, object] = {"BACKEND": f"{BACKENDS}.locmem.LocMemCache"}
    if request.param == "file":
        entry["BACKEND"] = f"{BACKENDS}.filebased.FileBasedCache"
        entry["LOCATION"] = str(tmp_path)
    elif request.param == "database":
        entry["BACKEND"] = f"{BACKENDS}.db.DatabaseCache"
        entry["LOCATION"] = "cache_table"
    elif request.param == "redis":
        server = request.getfixturevalue("redis_server")
        entry["BACKEND"] = f"{BACKENDS}.redis.RedisCache"
        entry["LOCATION"] = f"redis://{server.host}:{server.port}"
    with override_settings(CACHES={"default": entry}):
        if request.param == "database":
            call_command("createcachetable", verbosity=0)
        caches["default"].clear()
        yield DjangoCache(Conf())
        caches["default"].close()


def test_values_are_kept_until_they_are_deleted(cache):
    cache.set("a", b"1", None)
    cache.set_many({"b": b"2", "c": b"\0\xff"}, 60)
    assert cache.get("a") == b"1"
    assert cache.get_many(["a", "b", "c", "d"]) == {
        "a": b"1",
        "b": b"2",
        "c": b"\0\xff",
    }
    cache.delete_many(["a", "b", "d"])
    assert cache.get_many(["a", "b", "c"]) == {"c": b"\0\xff"}
    assert cache.get("d") is None


def test_only_the_first_is_added(cache):
    assert cache.add("a", b"1", 60) is True
    assert cache.add("a", b"2", 60) is False
    assert cache.get("a") == b"1"


@pytest.mark.parametrize("ttl", [None, 60, 0.5])
def test_counting_begins_with_one(cache, ttl):
    assert [cache.count("n", ttl) for _ in range(3)] == [1, 2, 3]
    assert cache.get("n") == b"3"
    assert cache.count("other", ttl) == 1


@pytest.mark.parametrize("key", ["with space", "ü", "x" * 300, "line\nbreak", ""])
def test_every_key_is_taken(cache, key):
    cache.set(key, b"1", 60)
    assert cache.get(key) == b"1"
    assert cache.count(f"{key} counter", 60) == 1


def test_values_are_forgotten_after_their_time(cache, monkeypatch):
    cache.set("a", b"1", 0.2)  # rounded up to a second, the least all of them take
    assert cache.get("a") == b"1"
    caches["default"].touch("qcore:a", timeout=-1)
    assert cache.get("a") is None


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
