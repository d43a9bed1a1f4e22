"""The sentinel's children: which of them it has killed, and which were dead before."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from types import SimpleNamespace

import pytest
from support.own_modules import give_own

from qcore.conf import Conf
from qcore.engine.sentinel import children as module
from qcore.engine.sentinel.children import Child, Children

pytestmark = pytest.mark.live


@pytest.fixture
def children():
    return Children(SimpleNamespace(conf=Conf.from_dict({})))


def adopt(children, *words):
    """Have a program among the children."""
    program = subprocess.Popen(words, process_group=0)
    program.returncode = 0  # the children reap it, and Popen need not
    children._children[program.pid] = Child(program.pid, 1, time.monotonic())
    return program.pid


def test_a_child_that_has_died_by_itself_was_not_killed(children):
    pid = adopt(children, "sh", "-c", "exit 3")
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    children.signal(pid, signal.SIGKILL)
    ((child, status),) = children.reap()
    assert (child.killed, status) == (False, 3 << 8)


def test_a_child_that_lived_was_killed(children):
    pid = adopt(children, "sleep", "77")
    children.signal(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    children.signal(pid, signal.SIGKILL)  # once more changes nothing
    ((child, status),) = children.reap()
    assert (child.killed, status) == (True, signal.SIGKILL)


def test_asking_for_stacks_does_not_end_a_child_that_has_just_begun(
    children, monkeypatch
):
    become = module._become

    def signalled(role, parent):
        os.kill(os.getpid(), signal.SIGUSR1)
        become(role, parent)

    def nothing(*_):
        """Stand for a service that does nothing."""

    for name in ("before_fork", "after_fork", "before_exit"):
        setattr(children._services, name, nothing)
    monkeypatch.setattr(module, "_become", signalled)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    pid = children.fork(1, lambda: os._exit(7))
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    ((_, status),) = children.reap()
    assert status == 7 << 8


def test_signals_are_not_held_back_if_there_can_be_no_child(children, monkeypatch):
    def fork():
        raise BlockingIOError("no process can be had")

    children._services.before_fork = lambda: None
    give_own(monkeypatch, module, "os", fork=fork)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with pytest.raises(BlockingIOError):
        children.fork(1, lambda: None)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
