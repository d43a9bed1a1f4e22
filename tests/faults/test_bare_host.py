"""A cluster on a host that gives it little: no home, no locale, nowhere to write."""

from __future__ import annotations

import shlex
import shutil
import subprocess

import pytest
from chores.cluster_log import own_log
from faults.place import Place

from qcore.tasks import async_task, fetch, result
from qcore.testing import cluster as live

pytestmark = pytest.mark.once

#: Python would make UTF-8 of the locale C, if it were let.
ENVIRON = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
TEXT = "naïve ✓"


@pytest.fixture
def read_only(monkeypatch, tmp_path, database, ledger):
    """Make LiveCluster start its clusters where only their data can be written."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare")
    tried = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"],
        capture_output=True, check=False,
    )  # fmt: skip
    if tried.returncode:
        pytest.skip("this user may not make a namespace of mounts")
    python = shlex.quote(live.sys.executable)
    data = " ".join(shlex.quote(str(path.parent)) for path in (database, ledger.path))
    steps = [
        "set -eu",
        f"for folder in {data}; do mount --bind $folder $folder; done",
        "mount -t tmpfs -o ro none /dev/shm",
        "for place in / /tmp /var/tmp; do",
        "  mountpoint -q $place && mount -o remount,bind,ro $place",
        "done",
        f"if {python} -c 'import tempfile; tempfile.gettempdir()' 2>/dev/null",
        "then echo something can be written >&2; exit 9; fi",
        f'exec {python} "$@"',
    ]
    script = tmp_path / "script"
    script.write_text("\n".join(steps))
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nexec unshare --mount sh {script} "$@"\n')
    wrapper.chmod(0o700)
    monkeypatch.setattr(live.sys, "executable", str(wrapper))


def serves(ledger, key):
    """Run tasks whose arguments, results and errors are not ASCII, and stop."""
    place = Place(None, {})
    try:
        cluster = place.start(environ=ENVIRON, max_attempts=1, log_level="DEBUG")
        own = f"{key} {TEXT}"
        ran = async_task("chores.kind.record", own, TEXT, cluster=place.queue)
        failed = async_task(
            "chores.kind.fail", TEXT, cluster=place.queue, task_name=TEXT
        )
        assert result(ran, wait=60_000) == TEXT
        assert fetch(failed, wait=60_000).result.startswith(f"ValueError: {TEXT}\n")
        assert len(ledger.entries(own)) == 1
        assert cluster.stop() == 0
        assert "Logging error" not in cluster.log
        assert "Traceback" not in own_log(cluster.log), cluster.log
    finally:
        place.close()


@pytest.mark.fault("J10")
def test_a_cluster_needs_neither_a_home_nor_a_locale(
    database, ledger, key, monkeypatch
):
    monkeypatch.delenv("HOME", raising=False)
    serves(ledger, key)


@pytest.mark.fault("J10")
def test_a_cluster_writes_nothing_but_its_data(read_only, ledger, key, monkeypatch):
    monkeypatch.delenv("HOME", raising=False)
    serves(ledger, key)
