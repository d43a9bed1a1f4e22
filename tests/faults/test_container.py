"""A sentinel that is the first process of a container, and has no init above it."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys

import pytest
from chores.ledger import wait_for
from faults.place import Place

from qcore.processes import processes
from qcore.tasks import async_task
from qcore.testing import cluster as live

UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


def can_unshare():
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run([*UNSHARE, "true"], capture_output=True, check=False)
    return tried.returncode == 0


@pytest.fixture
def container(monkeypatch, tmp_path):
    """Make LiveCluster start its clusters as PID 1 of a namespace of their own."""
    if not can_unshare():
        pytest.skip("this user may not make a namespace of processes")
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nexec {" ".join(UNSHARE)} {sys.executable} "$@"\n')
    wrapper.chmod(0o700)
    monkeypatch.setattr(live.sys, "executable", str(wrapper))


@pytest.mark.live
@pytest.mark.fault("A15")
def test_the_first_process_of_a_container_stops_and_reaps(
    database, ledger, key, container
):
    place = Place(None, {})
    cluster = place.start(wait=False)
    try:
        async_task("chores.rude.orphan_a_child", key, cluster=place.queue)
        ledger.wait(key, "orphan left", timeout=30)
        (first,) = [p for p in processes() if p.parent == cluster.sentinel]
        ours = {p.pid for p in processes() if p.parent == first.pid and p.lives}
        # an orphan falls to its worker, and where that has ended to the sentinel
        wait_for(
            lambda: (
                not any(
                    p.parent in {first.pid, *ours} and not p.lives for p in processes()
                )
            ),
            5,
            "end of the zombies",
        )
        assert len(ours) >= 3, "dispatcher and workers"
        live.os.kill(first.pid, signal.SIGTERM)
        assert cluster.wait(20) == 0
    finally:
        place.close()
