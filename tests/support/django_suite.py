"""Run Django's own tests of tasks against the backend, by hand.

::

    python tests/support/django_suite.py

in an environment with Django 6, this checkout and pytest. The tests come with the source
distribution of the Django that is installed, from the package index, and are never part of
this repository. Two changes are made to them: they name our backend, and their cases have
a database. What then fails is shown, and docs/how-to/django-tasks.md says why.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import django

ROOT = Path(__file__).resolve().parents[2]
OURS = "qcore.backend.QcoreBackend"
#: The cases of the immediate backend want a result at once.
SYNC = 'Q_CLUSTER={"name": "tests", "orm": "default", "sync": True}, TASKS='


def fetched(folder: Path) -> Path:
    """Download Django's source, and return the folder of its tests of tasks."""
    wanted = f"Django=={django.get_version()}"
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps"]
    subprocess.run(
        [*pip, "--no-binary", ":all:", "-d", str(folder), wanted], check=True
    )
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as source:
        names = [m for m in source.getmembers() if "/tests/tasks/" in m.name]
        source.extractall(folder, names, filter="data")
    (tests,) = folder.glob("*/tests/tasks")
    return tests


def adapt(path: Path) -> None:
    """Name our backend in a file of tests, and give its cases a database."""
    text = path.read_text()
    kind = "Immediate" if "immediate" in path.name else "Dummy"
    module = f"django.tasks.backends.{kind.lower()}"
    text = text.replace(f'{module}.{kind}Backend"', f'{OURS}"')
    text = text.replace(
        f"from {module} import {kind}Backend",
        f"from qcore.backend import QcoreBackend as {kind}Backend",
    )
    text = text.replace("TestCase(SimpleTestCase)", "TestCase(TransactionTestCase)")
    if "TransactionTestCase, " not in text:
        text = text.replace(
            "import SimpleTestCase,", "import SimpleTestCase, TransactionTestCase,"
        )
    text = text.replace("available_apps = []", "available_apps = None")
    text = text.replace("default_task_backend.clear()", "None")
    if kind == "Immediate":
        text = text.replace(
            "override_settings(\n    TASKS=", f"override_settings({SYNC}"
        )
        text = text.replace(
            "override_settings(\n        TASKS=", f"override_settings({SYNC}"
        )
    path.write_text(text)


def main() -> int:
    """Return the exit code of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        tests = fetched(Path(folder))
        for path in tests.glob("test_*.py"):
            adapt(path)
        words = ["-q", "--no-header", "-p", "no:cacheprovider", "-o", "timeout=0"]
        pytest = [sys.executable, "-m", "pytest", *words, f"--rootdir={ROOT}"]
        where = [
            "-c",
            str(ROOT / "pyproject.toml"),
            "-o",
            f"pythonpath=tests {tests.parent}",
        ]
        run = subprocess.run([*pytest, *where, str(tests)], cwd=ROOT, check=False)
    return run.returncode


if __name__ == "__main__":
    sys.exit(main())
