"""Bare environments and a wheelhouse, for the tests that install qcore as users do."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from support.bare_environment import PLUGINS, ROOT, Environment


@pytest.fixture
def bare(tmp_path: Path) -> Environment:
    """An environment with pip and nothing else."""
    folder = tmp_path / "bare"
    venv.create(folder, with_pip=True)
    return Environment(folder)


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheelhouse with every distribution of this repository, built once in a run."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return _build(tmp_path_factory.mktemp("dist"))
    # the folder that the processes of xdist have in common
    shared = tmp_path_factory.getbasetemp().parent
    folder = shared / "dist"
    with (shared / "dist.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return folder if folder.exists() else _build(shared / "building").rename(folder)


def _build(folder: Path) -> Path:
    places = [str(ROOT), *(f"{ROOT}/plugins/{name}" for name in PLUGINS)]
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder)]
    built = subprocess.run([*pip, *places], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder
