"""The cache backend keeps its contract."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qcore import Conf
from qcore.errors import ConfigError
from qcore.testing import CacheBackendContract
from qcore.testing.outages import Outage, moved_away
from qcore_example import qcore_settings
from qcore_example.cache import ExampleCache


def make(path: object) -> ExampleCache:
    options = {"example_cache": {"path": path}}
    return ExampleCache(Conf.from_dict(options, settings=qcore_settings()))


class TestCache(CacheBackendContract):
    @pytest.fixture
    def make_cache(self, tmp_path: Path) -> Callable[[], ExampleCache]:
        return lambda: make(str(tmp_path))

    @pytest.fixture
    def unreachable(self, tmp_path: Path) -> ExampleCache:
        return make(str(tmp_path / "not-mounted"))

    @pytest.fixture
    def outage(self, tmp_path: Path) -> Outage:
        return lambda: moved_away(tmp_path)


@pytest.mark.parametrize("path", [None, 5, ""])
def test_the_path_must_be_given(path: object) -> None:
    with pytest.raises(ConfigError, match="'path'"):
        make(path)
