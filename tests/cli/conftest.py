"""A Django project in a folder of its own, and the command ``qcore`` run in it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.cli_project import clean_environment, write_project

from qcore.testing.speed import Patience, stretched

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def qcore() -> Run:
    """Run ``python -m qcore`` in a folder: ``qcore(folder, "info", "--json")``."""

    def run(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "qcore", *words],
            cwd=folder,
            env=clean_environment(**env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )

    return run


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose tables are there; no cluster runs."""
    pytest.importorskip("qcore_orm")
    folder = write_project(tmp_path_factory.mktemp("project"))
    migrate = [sys.executable, "manage.py", "migrate", "-v0"]
    subprocess.run(migrate, cwd=folder, env=clean_environment(), check=True)
    return folder


@pytest.fixture(scope="module")
def live_project(project: Path) -> Iterator[Path]:
    """The same project while ``qcore cluster`` runs in it."""
    words = [sys.executable, "-m", "qcore", "cluster"]
    log = (project / "cluster.log").open("w")
    process = subprocess.Popen(
        words,
        cwd=project,
        env=clean_environment(QCORE_RUN_DIR=str(project / "run")),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        _await_status(project, process)
        yield project
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(stretched(60))
        finally:
            process.kill()
            process.wait()
            log.close()


def _await_status(project: Path, process: subprocess.Popen[bytes]) -> None:
    """Return when both workers can be seen idle; the look itself takes a while."""
    deadline = Patience(30)
    words = [sys.executable, "-m", "qcore", "monitor", "--run-once"]
    while not deadline.is_over() and process.poll() is None:
        seen = subprocess.run(
            words,
            cwd=project,
            env=clean_environment(),
            capture_output=True,
            check=False,
        )
        if seen.returncode == 0 and seen.stdout.count(b"idle") == 2:
            return
    pytest.fail(f"no cluster is seen:\n{(project / 'cluster.log').read_text()}")
