"""The settings ``disque_nodes`` and ``disque_auth``, as documented and as mistyped."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from qcore.brokers.addresses import Address
from qcore.conf import Conf
from qcore.errors import ConfigError
from qcore_disque.addresses import read_addresses
from qcore_disque.broker import DisqueBroker

if TYPE_CHECKING:
    import redis
    from servers.disque import DisqueServer


def test_the_documented_nodes() -> None:
    nodes = ["127.0.0.1:7711", "127.0.0.1:7712"]
    settings = {
        "name": "DisqueBroker",
        "workers": 4,
        "timeout": 60,
        "retry": 60,
        "disque_nodes": nodes,
    }
    conf = Conf.from_dict(settings)
    orders = set()
    for _ in range(50):
        broker = DisqueBroker(conf)
        orders.add(tuple(str(address) for address in broker._brief._order))
    assert orders == {tuple(nodes), tuple(reversed(nodes))}, "the order is not random"
    assert settings["disque_nodes"] == ["127.0.0.1:7711", "127.0.0.1:7712"]
    assert list(conf.options["disque_nodes"]) == nodes


def test_the_documented_example_of_tynd(
    own_disque_server: DisqueServer,
    admin: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    admin.execute_command("CONFIG", "SET", "requirepass", "of-tynd")
    nodes = f"{own_disque_server.address}, localhost:{own_disque_server.port}"
    monkeypatch.setenv("TYND_DISQUE_NODES", nodes)
    monkeypatch.setenv("TYND_DISQUE_AUTH", "of-tynd")
    settings = {
        "name": "TyndBroker",
        "workers": 8,
        "timeout": 30,
        "retry": 60,
        "bulk": 10,
        "disque_nodes": os.environ["TYND_DISQUE_NODES"].split(","),
        "disque_auth": os.environ["TYND_DISQUE_AUTH"],
    }
    broker = DisqueBroker(Conf.from_dict(settings))
    assert broker.ping()
    broker.enqueue_many([b"package"] * 10)
    assert len(broker.dequeue(10)) == 10
    broker.close()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("disque.example.com:7712", ("disque.example.com", 7712)),
        (" 10.0.0.1:1 ", ("10.0.0.1", 1)),
        ("localhost", ("localhost", 7711)),
        ("[::1]:7712", ("::1", 7712)),
        ("[fe80::1%eth0]", ("fe80::1%eth0", 7711)),
    ],
)
def test_ways_to_write_a_node(text: str, address: tuple[str, int]) -> None:
    assert read_addresses([text]) == [Address(*address)]


def test_a_node_is_told_as_it_is_written() -> None:
    for text in ("127.0.0.1:7711", "[::1]:7712"):
        assert str(read_addresses([text])[0]) == text


def test_a_node_that_is_named_twice_counts_once() -> None:
    assert len(read_addresses(["a:7711", "b", "a"])) == 2


def test_no_setting_is_this_host() -> None:
    assert read_addresses(None) == [Address("127.0.0.1", 7711)]


@pytest.mark.parametrize(
    "text", ["a:", ":7711", "a:0", "a:65536", "a:7711/0", "a b:1", "::1:7711", "[::1"]
)
def test_what_is_no_node_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"'disque_nodes'\]: .* is not a node"):
        read_addresses(["a:1", text])


def test_a_password_in_a_node_is_not_told() -> None:
    with pytest.raises(ConfigError, match="under 'disque_auth'") as raised:
        read_addresses(["disque://:hush@host:7711"])
    assert "hush" not in str(raised.value)
    assert "***@host:7711" in str(raised.value)
