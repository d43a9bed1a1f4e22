"""What the tests of the IronMQ broker share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import shared_fixtures
from servers.ironmq import IronMQServer, real_options
from servers.ironmq_quick import PACE, QuickBroker
from servers.ironmq_script import ScriptedIronMQ

from qcore.conf import Conf
from qcore.testing.brokers import opened_brokers
from qcore_ironmq.broker import IronMQBroker

#: ``open_broker(setting, **settings)`` returns a broker on a new queue; ``setting`` is
#: the value of 'iron_mq', and ``queue`` names a queue that exists.
Open = Callable[..., IronMQBroker]


@pytest.fixture(autouse=True)
def no_strays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide what the person at this desk has told IronMQ's client."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("HOST", "PORT", "PROTOCOL", "TOKEN", "PROJECT_ID", "CLOUD"):
        monkeypatch.delenv(f"IRON_{name}", raising=False)
        monkeypatch.delenv(f"IRON_MQ_{name}", raising=False)


@pytest.fixture(scope="module")
def quick_server() -> Iterator[IronMQServer | None]:
    """A server whose clock is quick; None where the tests run on the real service."""
    if real_options():
        yield None
    else:
        yield from shared_fixtures.run_server("ironmq", lambda: IronMQServer(PACE))


@pytest.fixture
def broker_class(quick_server: IronMQServer | None) -> type[IronMQBroker]:
    """The broker for the server at hand."""
    return QuickBroker if quick_server else IronMQBroker


@pytest.fixture
def options(quick_server: IronMQServer | None) -> dict[str, object]:
    """The value of ``Q_CLUSTER['iron_mq']`` for the server at hand."""
    return quick_server.options if quick_server else real_options() or {}


@pytest.fixture
def open_broker(
    broker_class: type[IronMQBroker], options: dict[str, object]
) -> Iterator[Open]:
    """Open brokers and close them after the test."""
    with opened_brokers(broker_class) as open_broker:

        def open_one(
            setting: object = None, queue: str = "", **settings: object
        ) -> IronMQBroker:
            return open_broker({"iron_mq": setting or options, **settings}, queue)

        yield open_one


@pytest.fixture
def script() -> Iterator[ScriptedIronMQ]:
    """A service of which the test writes the replies."""
    with ScriptedIronMQ() as service:
        yield service


@pytest.fixture
def scripted(script: ScriptedIronMQ) -> Iterator[IronMQBroker]:
    """A broker on the scripted service, at the service's own pace."""
    broker = IronMQBroker(Conf.from_dict({"iron_mq": script.options}), "shop")
    yield broker
    broker.close()
