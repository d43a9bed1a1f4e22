"""Descendants of a worker: whose they are, and who buries them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from chores.ledger import wait_for

from qcore.engine.system import descendants
from qcore.processes import processes
from qcore.testing.contracts.forking import in_child

pytestmark = pytest.mark.skipif(not descendants.IS_KNOWN, reason="only Linux tells")


def leave_an_orphan():
    """Start a process that has no parent any more, ends, and has left our group."""
    read_end, write_end = os.pipe()
    if not os.fork():
        os.setsid()
        if orphan := os.fork():
            os.write(write_end, str(orphan).encode())
        os._exit(0)
    os.wait()
    return int(os.read(read_end, 20))


def ended():
    return {p.pid for p in processes() if p.parent == os.getpid() and not p.lives}


@pytest.mark.live
@pytest.mark.fault("A15")
def test_orphans_are_reaped_and_what_python_waits_for_is_not():
    def work():
        assert not descendants.has_children()
        descendants.adopt_orphans()
        orphan = leave_an_orphan()
        own = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
        wait_for(lambda: ended() == {orphan, own.pid})
        assert descendants.has_children()
        descendants.reap_orphans()
        assert ended() == {own.pid}
        assert own.wait() == 3

    assert in_child(work) == 0


@pytest.mark.live
@pytest.mark.fault("B11")
def test_what_has_left_the_group_is_ended_and_nobody_else():
    def work():
        os.setpgid(0, 0)
        descendants.adopt_orphans()
        near = subprocess.Popen(["sleep", "77"])
        far = subprocess.Popen(["sleep", "77"], start_new_session=True)
        wait_for(
            lambda: [s.pid for s in descendants.outside_group(os.getpid())] == [far.pid]
        )
        assert descendants.describe(descendants.outside_group(os.getpid())[0]).endswith(
            "(sleep)"
        )
        descendants.end_outside_group(os.getpid())
        assert far.wait() == -9
        assert near.poll() is None
        near.kill()

    assert in_child(work) == 0
