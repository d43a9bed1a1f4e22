"""How long a sentinel rests that nobody needs."""

from __future__ import annotations

import fcntl
import os
import resource
import socket
from types import SimpleNamespace

import pytest

from qcore.conf import Conf
from qcore.engine.sentinel import sentinel as module
from qcore.engine.sentinel.sentinel import Sentinel


@pytest.mark.parametrize(
    ("settings", "rest"),
    [({}, 5.0), ({"guard_cycle": 0.5}, 0.5), ({"guard_cycle": 30}, 30.0)],
    ids=["unset", "short", "long"],
)
def test_a_sentinel_rests_for_a_guard_cycle_or_longer_where_none_is_set(
    monkeypatch, settings, rest
):
    waits = []

    def readable(sources, pause):
        waits.append(pause)
        return []

    monkeypatch.setattr(module, "readable", readable)
    idle = Sentinel(SimpleNamespace(conf=Conf.from_dict(settings)), "0" * 32)
    with socket.socket() as wake:
        idle._wait(wake)
    assert waits == [pytest.approx(rest, abs=0.01)]


@pytest.mark.fault("A25")
def test_each_round_looks_for_workers_that_do_not_come_up(monkeypatch):
    looked = []
    rounds = iter([False, False, True])
    for name in ("set_title", "settle", "unsettle"):
        monkeypatch.setattr(module, name, lambda *_: None)
    monkeypatch.setattr(module.Starts, "check", lambda _, now: looked.append(now))
    monkeypatch.setattr(Sentinel, "_fork_due", lambda _: None)
    monkeypatch.setattr(Sentinel, "_wait", lambda *_: False)
    monkeypatch.setattr(Sentinel, "_is_over", lambda _: next(rounds))
    services = SimpleNamespace(conf=Conf.from_dict({}), notify=lambda *_, **__: None)
    assert Sentinel(services, "0" * 32).run() == 0
    assert len(looked) == 2


@pytest.mark.fault("J11")
def test_a_sentinel_hears_on_large_numbers(tmp_path):
    """A project that has opened many files leaves no small ones."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    one, other = socket.socketpair()
    try:
        high = fcntl.fcntl(other.fileno(), fcntl.F_DUPFD, 2000)
        try:
            assert module.readable([high], 0) == []
            one.send(b"x")
            assert module.readable([high], 60) == [high]
        finally:
            os.close(high)
    finally:
        one.close()
        other.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
