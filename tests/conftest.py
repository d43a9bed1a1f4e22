"""Bare environments and a wheelhouse, for the tests that install qcore as users do."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.bare_environment import PLUGINS, ROOT, Environment

#: What pip fetches for nearly every line that a page shows: the requirements of the core,
#: and what builds a package.
USUAL = ["Django>=5.2", "pluggy", "msgspec", "cronsim", "hatchling", "editables"]
# iron-mq is published as a source alone; older setuptools cannot make a wheel of it
USUAL += ["setuptools>=70.1"]


@pytest.fixture
def bare(tmp_path: Path, _with_pip: Path) -> Environment:
    """An environment with pip and nothing else."""
    return Environment.like(_with_pip, tmp_path / "bare")


@pytest.fixture
def furnished(tmp_path: Path, _furnished: Path) -> Environment:
    """An environment with pip, with what the core requires, and with what builds it.

    For lines that a page or a message shows. That they bring all of this into an
    environment that has nothing is what the tests with ``bare`` prove.
    """
    return Environment.like(_furnished, tmp_path / "furnished", has_builder=True)


@pytest.fixture(scope="session")
def _with_pip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment that ``bare`` is a copy of: pip needs seconds to come into one."""
    return _once(tmp_path_factory, "with-pip", _install_pip)


@pytest.fixture(scope="session")
def _furnished(tmp_path_factory: pytest.TempPathFactory, _with_pip: Path) -> Path:
    def furnish(folder: Path) -> None:
        Environment.like(_with_pip, folder).pip("install", "-q", *USUAL)

    return _once(tmp_path_factory, "furnished", furnish)


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheelhouse with every distribution of this repository, built once in a run."""
    return _once(tmp_path_factory, "dist", _build)


def _once(
    factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]
) -> Path:
    """Return a folder that one of the processes of a run makes, and all of them use.

    It is made at its place, and so it may name its own path.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        shared = factory.getbasetemp()
    else:  # the folder that the processes of xdist have in common
        shared = factory.getbasetemp().parent
    folder, made = shared / name, shared / f"{name}.made"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            make(folder)
            made.touch()
    return folder


def _install_pip(folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)


def _build(folder: Path) -> None:
    places = [str(ROOT), *(f"{ROOT}/plugins/{name}" for name in PLUGINS)]
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder)]
    if importlib.util.find_spec("hatchling"):  # else pip fetches it for each of them
        pip.append("--no-build-isolation")
    built = subprocess.run([*pip, *places], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
