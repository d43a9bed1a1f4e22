"""The example keeps the contracts of plugins and of brokers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qcore import Conf
from qcore.testing import BrokerContract, PluginContract
from qcore_example.broker import FolderBroker


class TestPlugin(PluginContract):
    name = "example"


class TestFolderBroker(BrokerContract):
    lease = 1.0
    misspelt = ({"example": {"paht": "/tmp"}}, "did you mean 'path'")

    @pytest.fixture
    def make_broker(self, tmp_path: Path) -> Callable[..., FolderBroker]:
        def make(queue: str | None = None, **settings: Any) -> FolderBroker:
            options = {"example": {"path": str(tmp_path)}, **settings}
            return FolderBroker(Conf.from_dict(options, claimed=["example"]), queue)

        return make

    @pytest.fixture
    def dead_broker(self, tmp_path: Path) -> FolderBroker:
        options = {"example": {"path": str(tmp_path / "not-mounted")}}
        return FolderBroker(Conf.from_dict(options, claimed=["example"]))

    @pytest.fixture
    def restart_service(self, tmp_path: Path) -> Callable[[bool], None]:
        def remount(kill: bool) -> None:
            away = tmp_path.with_name(f"{tmp_path.name}-away")
            tmp_path.rename(away)
            away.rename(tmp_path)

        return remount


@pytest.mark.parametrize("path", [None, 5])
def test_the_path_must_be_given(path: object) -> None:
    conf = Conf.from_dict({"example": {"path": path}}, claimed=["example"])
    with pytest.raises(Exception, match="must be the path of a folder"):
        FolderBroker(conf)


def test_a_queue_stays_in_its_folder(tmp_path: Path) -> None:
    """The name of a queue comes from settings and may be anything."""
    options = {"example": {"path": str(tmp_path)}}
    broker = FolderBroker(Conf.from_dict(options, claimed=["example"]), "../../x")
    broker.enqueue(b"package")
    assert [path.name for path in tmp_path.iterdir()] == ["queue-..%2F..%2Fx"]
