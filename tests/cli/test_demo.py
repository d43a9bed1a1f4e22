from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.cli_project import clean_environment
from support.json_schemas import validate
from support.terminal import Terminal

from qcore.testing.speed import Patience

pytestmark = pytest.mark.live

pytest.importorskip("qcore_orm")

WORDS = [sys.executable, "-m", "qcore", "demo", "--workers", "2"]
EXPECTED = {
    "fast": "success",
    "slow": "success",
    "failing": "failure",
    "timeout": "timeout",
    "crash": "crash",
    "retry": "success",
    "dead": "failure",
    "discard": "discarded",
    "cancel": "cancelled",
    "expires": "expired",
    "priority": "success",
    "progress": "success",
    "chain": "success",
    "group": "success",
    "schedule": "success",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the demo makes its temporary folder."""
    (tmp_path / "tmp").mkdir()
    return tmp_path


def left_running(folder: Path) -> list[int]:
    """Return the processes whose environment or files are of this demo."""
    mark = str(folder).encode()
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            files = [str(link.readlink()).encode() for link in path.glob("fd/*")]
            known = (path / "environ").read_bytes()
        except OSError:
            continue  # it has ended, or is not ours
        if int(path.name) != os.getpid() and any(mark in x for x in [known, *files]):
            found.append(int(path.name))
    return found


def test_every_kind_ends_as_it_should_and_nothing_is_left(folder):
    env = clean_environment(TMPDIR=str(folder / "tmp"))
    done = subprocess.run(
        [*WORDS, "--tasks", "200", "--seconds", "240", "--json"],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    validate(document)
    assert document["schema"] == "qcore.demo/1"
    assert document["ok"]
    kinds = {kind["kind"]: kind for kind in document["kinds"]}
    assert set(kinds) == set(EXPECTED)
    for name, outcome in EXPECTED.items():
        assert kinds[name][outcome] == kinds[name]["sent"], name
        assert kinds[name]["complaint"] is None
    assert [kinds[name]["attempts"] for name in ("retry", "dead", "crash")] == [3, 3, 2]
    assert kinds["priority"]["sent"] == 5  # more than the two workers can hold
    assert kinds["fast"]["sent"] == 200
    assert document["traceback"][-1] == "ZeroDivisionError: division by zero"
    assert list((folder / "tmp").iterdir()) == []
    assert left_running(folder) == []


def test_in_a_pipe_it_goes_line_by_line(folder):
    env = clean_environment(TMPDIR=str(folder / "tmp"))
    done = subprocess.run(
        [*WORDS, "--tasks", "20", "--seconds", "240"],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\x1b" not in done.stdout
    assert "tasks/s" in done.stdout
    assert "All as expected" in done.stdout


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_nothing(folder, end):
    env = clean_environment(TMPDIR=str(folder / "tmp"))
    with Terminal([*WORDS, "--tasks", "50"], folder, env) as terminal:
        terminal.wait_for(" of 50")  # its first frame: the cluster runs
        # the demo, sentinel and dispatcher; a worker may be dead just now
        assert len(left_running(folder)) >= 3
        terminal.process.send_signal(end)
        assert terminal.end(30) == 130
        assert terminal.drawn.rstrip().endswith("\x1b[?25h")  # the cursor is back
    assert list((folder / "tmp").iterdir()) == []
    assert left_running(folder) == []


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux does it")
def test_killed_it_leaves_no_process(folder):
    env = clean_environment(TMPDIR=str(folder / "tmp"))
    with Terminal([*WORDS, "--tasks", "50"], folder, env) as terminal:
        terminal.wait_for(" of 50")
        assert len(left_running(folder)) >= 3
        terminal.process.kill()
        assert terminal.end() == -signal.SIGKILL
    deadline = Patience(10)
    while left_running(folder):
        assert not deadline.is_over(), left_running(folder)
        time.sleep(0.1)


def test_what_has_not_ended_in_time_is_told(folder):
    env = clean_environment(TMPDIR=str(folder / "tmp"))
    done = subprocess.run(
        # 16 slow tasks of half a second take one worker more than 5 seconds
        [*WORDS[:-1], "1", "--tasks", "5", "--seconds", "5"],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "expected 16 success, found" in done.stdout
    assert "Not as expected" in done.stdout
    assert list((folder / "tmp").iterdir()) == []
    assert left_running(folder) == []
