"""How a cluster starts, and what it says of that: streams, signals, patches, the log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from chores.ledger import wait_for
from faults.test_container import UNSHARE, can_unshare
from support.own_modules import give_own

from qcore.cli.bootstrap import handle_signals, open_streams
from qcore.cluster import patches
from qcore.engine.system import stacks
from qcore.errors import ConfigError
from qcore.tasks import async_task, fetch, result
from qcore.testing.speed import stretched

CLOSED = {
    "stdin": "<&-", "stdout": ">&-", "stderr": "2>&-", "stdout and stderr": ">&- 2>&-",
    "all": "<&- >&- 2>&-",
}  # fmt: skip


class Shell:
    """What stands in the place of the interpreter, and starts it in some way."""

    def __init__(self, tmp_path, monkeypatch):
        self._path = tmp_path / "python"
        self._patch = monkeypatch

    def start_with(self, words):
        self._path.write_text(f"#!/bin/bash\nexec {words}\n")
        self._path.chmod(0o700)
        self._patch.setattr("qcore.testing.cluster.sys.executable", str(self._path))


@pytest.fixture
def shell(tmp_path, monkeypatch):
    return Shell(tmp_path, monkeypatch)


# -- standard streams ----------------------------------------------------------------------
@pytest.mark.fault("A21")
@pytest.mark.parametrize("closed", CLOSED)
def test_a_cluster_works_whatever_stream_is_closed(start, shell, closed, key):
    shell.start_with(f'{sys.executable} "$@" {CLOSED[closed]}')
    cluster = start(queue=f"closed {closed}", workers=1)
    try:
        id = async_task("chores.kind.add", 1, 2, cluster=f"closed {closed}")
        assert result(id, wait=60_000) == 3
        cluster.signal(signal.SIGUSR1)  # stacks are written nowhere, and it lives
        id = async_task("chores.kind.add", 2, 2, cluster=f"closed {closed}")
        assert result(id, wait=60_000) == 4
    finally:
        cluster.stop()
    assert cluster.exit_code == 0


class Proxy:
    """What a project may put in the place of standard error."""

    def write(self, text): ...

    def flush(self): ...


@pytest.mark.fault("A21")
@pytest.mark.parametrize("stream", [Proxy(), None], ids=["a proxy", "none"])
def test_stacks_are_written_to_a_file_or_not_at_all(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(sys, "__stderr__", stream)
    give_own(monkeypatch, stacks, "signal", signal=lambda *_: None)
    no_file = partial(pytest.fail, "there is no file")
    give_own(monkeypatch, stacks, "faulthandler", enable=lambda **_: no_file())
    stacks.write_when_it_crashes()
    stacks.write()


@pytest.mark.live
@pytest.mark.fault("A21")
def test_closed_descriptors_are_opened_before_somebody_else_gets_their_numbers():
    code = (
        "import os, sys\n"
        "for n in (0, 1, 2): os.close(n)\n"
        "sys.stdin = sys.stdout = sys.stderr = None\n"
        "from qcore.cli.bootstrap import open_streams\n"
        "open_streams()\n"
        "print('into nothing'); print('too', file=sys.stderr)\n"
        "assert sys.stdin.read() == ''\n"
        "mine = os.open('/dev/null', os.O_RDONLY)\n"
        "os._exit(0 if mine > 2 else 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    before = (sys.stdin, sys.stdout, sys.stderr)
    open_streams()
    assert (sys.stdin, sys.stdout, sys.stderr) == before


# -- signals during the start -----------------------------------------------------------------
@pytest.mark.live
@pytest.mark.fault("A22")
@pytest.mark.skipif(not can_unshare(), reason="needs a namespace of processes")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGQUIT"])
def test_the_first_process_of_a_container_heeds_a_stop_while_it_starts(tmp_path, name):
    """The kernel does not deliver to it what nobody handles."""
    told = tmp_path / "loading"
    (tmp_path / "slow_settings.py").write_text(
        f"import pathlib, time\npathlib.Path({str(told)!r}).touch()\ntime.sleep(120)\n"
    )
    command = [*UNSHARE, sys.executable, "-m", "qcore", "cluster"]
    path = os.pathsep.join([str(tmp_path), *(entry for entry in sys.path if entry)])
    process = subprocess.Popen(
        [*command, "--settings", "slow_settings"],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(told.exists, 60, "its settings are being loaded")
        children = f"/proc/{process.pid}/task/{process.pid}/children"
        first = int(Path(children).read_text().split()[0])
        os.kill(first, getattr(signal, name))
        assert process.wait(stretched(60)) == 128 + getattr(signal, name)
    finally:
        process.kill()
        process.wait()


@pytest.mark.live
def test_the_handlers_of_the_start_end_the_process():
    code = (
        "import os, signal\nfrom qcore.cli.bootstrap import handle_signals\nhandle_signals()\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=False)
    assert ended.returncode == 128 + signal.SIGTERM
    assert callable(handle_signals)


# -- patches ------------------------------------------------------------------------------------
@pytest.mark.fault("A23")
@pytest.mark.parametrize("owner", ["gevent.os", "eventlet.green.select"])
@pytest.mark.parametrize(("module", "name"), patches._NEEDED)
def test_a_patched_standard_library_is_refused(monkeypatch, owner, module, name):
    patches.refuse()

    def patched(*_, **__): ...

    patched.__module__ = owner
    monkeypatch.setattr(module, name, patched)
    with pytest.raises(ConfigError, match=owner.partition(".")[0]) as caught:
        patches.refuse()
    monkeypatch.undo()
    assert "qcore cluster" in str(caught.value)


# -- the log ------------------------------------------------------------------------------------
def test_the_log_says_when_a_cluster_is_ready_and_when_it_has_stopped(start):
    cluster = start(queue="says", workers=2)
    cluster.wait_for(lambda: " is ready: queue says, 2 workers, broker " in cluster.log)
    cluster.wait_complete(without=[cluster.kill_worker()])
    cluster.kill_dispatcher()
    cluster.wait_for(lambda: cluster.log.count(" is ready: ") == 2, what="once more")
    cluster.stop()
    assert cluster.log.count(" is ready: ") == 2
    assert cluster.log.rstrip().endswith(" stopped")


def test_the_log_has_the_traceback_of_a_failure_once(start, cluster):
    id = async_task("chores.kind.fail", "too\x1b[2J bad")
    assert fetch(id, wait=60_000).outcome == "failure"
    told = f"id={id}: ValueError: too"
    cluster.wait_for(lambda: "in fail\n" in cluster.log.partition(told)[2])
    _, _, below = cluster.log.partition(f"id={id}")
    assert below.count("Traceback (most recent call last)") == 1
    assert "in fail\n" in below, "the line of the task"
    assert "\x1b" not in cluster.log
