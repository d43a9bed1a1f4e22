"""How long a sentinel rests that nobody needs."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest

from qcore.conf import Conf
from qcore.engine import sentinel as module
from qcore.engine.sentinel import Sentinel


@pytest.mark.parametrize(
    ("settings", "rest"),
    [({}, 5.0), ({"guard_cycle": 0.5}, 0.5), ({"guard_cycle": 30}, 30.0)],
    ids=["unset", "short", "long"],
)
def test_a_sentinel_rests_for_a_guard_cycle_or_longer_where_none_is_set(
    monkeypatch, settings, rest
):
    waits = []

    def select(readers, writers, broken, timeout):
        waits.append(timeout)
        return [], [], []

    monkeypatch.setattr(module, "select", SimpleNamespace(select=select))
    idle = Sentinel(SimpleNamespace(conf=Conf.from_dict(settings)), "0" * 32)
    with socket.socket() as wake:
        idle._wait(wake)
    assert waits == [pytest.approx(rest, abs=0.01)]
