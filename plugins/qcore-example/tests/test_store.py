"""The result store keeps its contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from qcore import Conf
from qcore.errors import ConfigError, StoreUnavailable
from qcore.testing import ResultStoreContract
from qcore.testing.outages import Outage, moved_away
from qcore.testing.project import configure
from qcore_example import qcore_settings
from qcore_example.store import ExampleStore

configure()


def make(path: object) -> ExampleStore:
    options = {"example_store": {"path": path}}
    return ExampleStore(Conf.from_dict(options, settings=qcore_settings()))


class TestStore(ResultStoreContract):
    crosses_processes = True

    @pytest.fixture
    def store(self, tmp_path: Path) -> ExampleStore:
        return make(str(tmp_path))

    @pytest.fixture
    def outage(self, tmp_path: Path) -> Outage:
        return lambda: moved_away(tmp_path)


def test_a_folder_that_is_away_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="not-mounted"):
        make(str(tmp_path / "not-mounted")).save([])


@pytest.mark.parametrize("path", [None, 5, ""])
def test_the_path_must_be_given(path: object) -> None:
    with pytest.raises(ConfigError, match="'path'"):
        make(path)
