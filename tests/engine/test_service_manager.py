"""systemd is told what a cluster does, by datagrams to a socket of the test."""

from __future__ import annotations

import contextlib
import os
import socket

import pytest

from qcore.engine.system.service_manager import ServiceManager


@pytest.fixture
def systemd(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ours:
        ours.bind(str(tmp_path / "notify"))
        ours.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield ours


def test_nothing_is_sent_where_nobody_listens(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    manager = ServiceManager()
    manager.tell(READY="1")
    assert manager.cycle is None
    assert not manager.is_due()
    manager.close()


def test_words_arrive_as_lines(systemd):
    manager = ServiceManager()
    manager.tell(READY="1", STATUS="queue mail, 2 workers")
    assert systemd.recv(4096) == b"READY=1\nSTATUS=queue mail, 2 workers"
    manager.close()


def test_a_manager_that_reads_nothing_stops_nobody_and_is_told_later(systemd, caplog):
    manager = ServiceManager()
    while not caplog.records:
        manager.tell(WATCHDOG="1")
    assert "systemd reads nothing now; it is told later: WATCHDOG=1" in caplog.text
    manager.tell(STATUS="1 of 2")
    manager.tell(READY="1", STATUS="2 of 2")
    assert len(caplog.records) == 1, "one line for a manager that has stopped reading"
    systemd.setblocking(False)
    while manager.is_behind:
        systemd.recv(4096)
        manager.tell()
    heard = []
    with contextlib.suppress(BlockingIOError):
        while True:
            heard.append(systemd.recv(4096))
    assert heard[-1] == b"WATCHDOG=1\nSTATUS=2 of 2\nREADY=1"
    manager.close()


def test_what_a_task_starts_is_no_service(systemd):
    ServiceManager()
    assert "NOTIFY_SOCKET" not in os.environ


@pytest.mark.skipif(not hasattr(socket, "SO_PASSCRED"), reason="a name of Linux")
def test_a_socket_with_a_name_that_is_no_file(monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ours:
        name = f"qcore-test-{os.getpid()}"
        ours.bind(f"\0{name}")
        ours.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        manager = ServiceManager()
        manager.tell(STOPPING="1")
        assert ours.recv(4096) == b"STOPPING=1"
        manager.close()


def test_a_manager_that_has_gone_costs_a_line(systemd, caplog):
    manager = ServiceManager()
    systemd.close()
    manager.tell(READY="1")
    assert "systemd is not told READY=1" in caplog.text
    manager.close()


@pytest.mark.parametrize(
    ("told", "process", "cycle"),
    [
        ("90000000", "", 45.0),
        ("90000000", "ours", 45.0),
        ("90000000", "1", None),
        ("", "", None),
        ("0", "", None),
        ("soon", "", None),
    ],
)
def test_how_often_a_sign_of_life_is_due(monkeypatch, told, process, cycle):
    monkeypatch.setenv("WATCHDOG_USEC", told)
    ours = str(os.getpid())  # not among the parameters: each process has its own
    monkeypatch.setenv("WATCHDOG_PID", ours if process == "ours" else process)
    manager = ServiceManager()
    assert manager.cycle == cycle
    assert manager.is_due() is (cycle is not None)
    assert not manager.is_due(), "not twice in a cycle"
