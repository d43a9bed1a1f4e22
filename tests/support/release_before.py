"""Release 2.0 beside the present one: its code as the history of the repository has it.

No package is built: its folders stand before those of this checkout on the path of a process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from qcore.testing import settings
from qcore.testing.cluster import LiveCluster

ROOT = Path(__file__).resolve().parents[2]
#: The last commit of release 2.0: packages of version 1, and no table of the ledger.
COMMIT = "d68ff7831f932f5b7129c0d0f855bf359246801b"
#: What it knows of the apps and the plugins of the tests.
APPS = ["django.contrib.contenttypes", "django.contrib.auth", "qcore", "qcore_orm"]
PLUGINS = "orm"


class Release:
    """The code of release 2.0 in a folder.

    Args:
        folder: has the tree of that commit.
    """

    def __init__(self, folder: Path) -> None:
        self.path = [str(folder), str(folder / "plugins/qcore-orm"), f"{folder}/tests"]

    def environment(self, settings_folder: Path, module: str = "") -> dict[str, str]:
        """Return the environment of one of its processes."""
        path = os.pathsep.join([str(settings_folder), *self.path])
        found = {"PYTHONPATH": path, "QCORE_PLUGINS": PLUGINS}
        return {**found, "DJANGO_SETTINGS_MODULE": module} if module else found

    def run(self, code: str, folder: Path, **changes: Any) -> str:
        """Run some lines after Django's setup, and return what they print.

        Args:
            code: of Python.
            folder: for the settings of that process.
            changes: of these settings.
        """
        settings.write(
            folder / "settings_before.py", {"INSTALLED_APPS": APPS} | changes
        )
        done = subprocess.run(
            [sys.executable, "-c", f"import django\ndjango.setup()\n{code}"],
            cwd=folder,
            env={**os.environ, **self.environment(folder, "settings_before")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    @contextmanager
    def cluster(self, **options: Any) -> Iterator[LiveCluster]:
        """Give a running cluster of this release."""
        with ClusterBefore(self, django={"INSTALLED_APPS": APPS}, **options) as one:
            yield one


class ClusterBefore(LiveCluster):
    """A cluster of release 2.0."""

    def __init__(self, release: Release, **options: Any) -> None:
        # it says nothing of workers that have come up
        super().__init__(environ={"NOTIFY_SOCKET": ""}, **options)
        self._release = release

    def _environment(self, path: list[str]) -> dict[str, str]:
        found = super()._environment(path) | self._release.environment(self._folder)
        del found["NOTIFY_SOCKET"]
        return found


def release_before(folder: Path) -> Release:
    """Return release 2.0, unpacked into a folder; skip where the history lacks it."""
    archive = folder.with_suffix(".tar")
    done = subprocess.run(
        ["git", "archive", "-o", str(archive), COMMIT, "qcore", "plugins", "tests"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"the history here does not reach to release 2.0: {done.stderr}")
    with tarfile.open(archive) as tree:
        tree.extractall(folder, filter="data")
    archive.unlink()
    return Release(folder)
