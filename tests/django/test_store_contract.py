"""The three stores of the core keep the contract, and read pickles where they may."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import msgspec
import pytest
from django.core.cache import cache as django_cache
from django.test import override_settings

from qcore.conf import Conf
from qcore.envelope import Options, new_id
from qcore.errors import ConfigError, StoreError
from qcore.results.base import ResultStore
from qcore.results.cache import CacheStore
from qcore.results.memory import MemoryStore
from qcore.results.orm import OrmStore
from qcore.results.routed import CACHE, DATABASE, RoutedStore
from qcore.results.rows import Row
from qcore.runtime import current
from qcore.testing import ResultStoreContract

#: Django's cache in local memory keeps 300 keys unless it is told otherwise.
ROOMY = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "OPTIONS": {"MAX_ENTRIES": 10_000},
    }
}


class TestOrmStore(ResultStoreContract):
    @pytest.fixture
    def store(self, db: None) -> ResultStore:
        return OrmStore(current.conf)


class TestCacheStore(ResultStoreContract):
    @pytest.fixture
    def store(self) -> Iterator[ResultStore]:
        with override_settings(CACHES=ROOMY):
            django_cache.clear()
            yield CacheStore(current.conf)


class TestMemoryStore(ResultStoreContract):
    @pytest.fixture
    def store(self) -> ResultStore:
        return MemoryStore(current.conf)  # emptied after each test, in conftest.py


class _Second(MemoryStore):
    """Results in a dictionary of its own."""

    _rows: ClassVar[dict[str, Row]] = {}


class TestRoutedStore(ResultStoreContract):
    """Two stores keep the contract as one, whatever a task says of ``cached``."""

    @pytest.fixture(params=[False, True], ids=["by default", "all cached"])
    def store(self, request: pytest.FixtureRequest) -> Iterator[ResultStore]:
        conf = msgspec.structs.replace(current.conf, cached=request.param)
        yield RoutedStore(
            conf,
            {DATABASE: lambda: MemoryStore(conf), CACHE: lambda: _Second(conf)},
        )
        _Second.clear()


def test_each_result_goes_where_its_task_says(make):
    conf, kept = current.conf, {}
    routed = RoutedStore(
        conf,
        {
            route: lambda kind=kind: kept.setdefault(kind, kind(conf))
            for route, kind in ((DATABASE, MemoryStore), (CACHE, _Second))
        },
    )
    plain, cached = make(1), make(2, options=Options(cached=60))
    unsaved = make(3, options=Options(save=False))
    routed.save([plain, cached, unsaved])
    try:
        assert routed.part(DATABASE).fetch(plain.task.id).result == 1
        assert routed.part(DATABASE).fetch(cached.task.id) is None
        assert routed.part(CACHE).fetch(cached.task.id).result == 2
        assert routed.fetch(unsaved.task.id) is None
        assert routed.route(cached.task) == CACHE
        assert routed.route(plain.task) == DATABASE
        ids = [plain.task.id, cached.task.id]
        assert set(routed.finished(ids)) == set(ids)
    finally:
        _Second.clear()


def test_a_part_that_cannot_be_made_keeps_nothing_from_the_other(make):
    def missing():
        raise ConfigError("no such cache")

    routed = RoutedStore(
        current.conf, {DATABASE: lambda: MemoryStore(current.conf), CACHE: missing}
    )
    plain, cached = make(1), make(2, options=Options(cached=True))
    assert routed.route(cached.task) == CACHE
    with pytest.raises(ConfigError):
        routed.save([plain, cached])
    assert routed.part(DATABASE).fetch(plain.task.id).result == 1
    assert not routed.is_untidy
    routed.close()


# -- pickles ---------------------------------------------------------------------------
def test_a_pickle_is_read_where_the_project_accepts_it(db, make):
    import pickle

    body = pickle.dumps([[{1, 2}], {"x": 1j}])
    result = make(content="pickle", body=body)
    result = msgspec.structs.replace(
        result,
        value=pickle.dumps(2j),
        task=msgspec.structs.replace(result.task, content="pickle"),
    )
    group = new_id()
    element = msgspec.structs.replace(
        result,
        task=msgspec.structs.replace(
            result.task, id=new_id(), group=group, iter_index=0, iter_count=1
        ),
    )
    with override_settings(Q_CLUSTER={"name": "tests", "serializer": "pickle"}):
        store = OrmStore(current.conf)
        store.save([result, element])
        assert store.collate(group, 1) is True
        record, joined = store.fetch(result.task.id), store.fetch(group)
        assert (record.result, record.args, record.kwargs) == (2j, ({1, 2},), {"x": 1j})
        assert (joined.result, joined.args) == ([2j], ([{1, 2}],))
    for refused in ("result", "args", "kwargs"):
        with pytest.raises(StoreError, match="accept_content"):
            getattr(record, refused)
    with pytest.raises(StoreError, match="accept_content"):
        joined.result  # noqa: B018


def test_stores_are_made_from_the_settings_alone(db):
    assert type(current.store(False)) is OrmStore
    assert type(current.store(True)) is CacheStore
    assert type(current.registry.load("result store", "memory")(Conf())) is MemoryStore
