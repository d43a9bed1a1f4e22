"""The three stores of the core keep the contract, and read pickles where they may."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from django.core.cache import cache as django_cache
from django.test import override_settings

from qcore.conf import Conf
from qcore.envelope import new_id
from qcore.errors import StoreError
from qcore.results.base import ResultStore
from qcore.results.cache import CacheStore
from qcore.results.memory import MemoryStore
from qcore.results.orm import OrmStore
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
