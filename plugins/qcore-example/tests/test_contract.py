"""The broker keeps its contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from qcore import Conf
from qcore.errors import ConfigError
from qcore.testing import BrokerContract
from qcore_example import qcore_settings
from qcore_example.broker import ExampleBroker


class TestBroker(BrokerContract):
    lease = 1.0
    service = "a folder"
    misspelt = ({"example": {"paht": "/tmp"}}, "did you mean 'path'")

    @pytest.fixture
    def make_broker(self, tmp_path: Path) -> Callable[..., ExampleBroker]:
        def make(queue: str | None = None, **settings: Any) -> ExampleBroker:
            options = {"example": {"path": str(tmp_path)}, **settings}
            conf = Conf.from_dict(options, settings=qcore_settings())
            return ExampleBroker(conf, queue)

        return make

    @pytest.fixture
    def dead_broker(self, tmp_path: Path) -> ExampleBroker:
        options = {"example": {"path": str(tmp_path / "not-mounted")}}
        conf = Conf.from_dict(options, settings=qcore_settings())
        return ExampleBroker(conf)

    @pytest.fixture
    def malformed(self) -> dict[str, Callable[[ExampleBroker], object]]:
        def put(name: str, broker: ExampleBroker) -> object:
            broker.ping()  # makes the folder
            return (broker.folder / name).write_bytes(b"by hand")

        names = ["README", "a.b.waiting.0", "1-1.0.waiting", "0-0.0.waiting.0"]
        return {name: partial(put, name) for name in names}

    @pytest.fixture
    def restart_service(
        self, tmp_path: Path
    ) -> Callable[[bool], AbstractContextManager[None]]:
        @contextmanager
        def remount(kill: bool) -> Iterator[None]:
            away = tmp_path.with_name(f"{tmp_path.name}-away")
            tmp_path.rename(away)
            yield
            away.rename(tmp_path)

        return remount


@pytest.mark.parametrize("path", [None, 5])
def test_the_path_must_be_given(path: object) -> None:
    options = {"example": {"path": path}}
    with pytest.raises(ConfigError, match="the path of a folder"):
        ExampleBroker(Conf.from_dict(options, settings=qcore_settings()))


def test_a_queue_stays_in_its_folder(tmp_path: Path) -> None:
    """The name of a queue comes from settings and may be anything."""
    options = {"example": {"path": str(tmp_path)}}
    conf = Conf.from_dict(options, settings=qcore_settings())
    broker = ExampleBroker(conf, "../../x")
    broker.enqueue(b"package")
    assert [path.name for path in tmp_path.iterdir()] == ["queue-..%2F..%2Fx"]
