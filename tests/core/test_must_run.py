"""A run in which every test was skipped is not a passed one, when asked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
SKIPPED = "import pytest\n\ndef test_one():\n    pytest.skip('no server')\n"
PASSED = "\n\ndef test_two():\n    assert True\n"


def run(source: str, folder: Path, *words: str) -> int:
    """Run the tests in ``source`` with the settings of this repository."""
    (folder / "test_it.py").write_text(source)
    bare = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    place = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), str(folder)]
    done = subprocess.run([*bare, *place, *words], capture_output=True, check=False)
    return done.returncode


def test_only_skipped_tests_fail_the_run(tmp_path: Path) -> None:
    assert run(SKIPPED, tmp_path, "--must-run") == pytest.ExitCode.NO_TESTS_COLLECTED


def test_only_skipped_tests_fail_a_run_in_two_processes_too(tmp_path: Path) -> None:
    code = run(SKIPPED, tmp_path, "--must-run", "-n", "2")
    assert code == pytest.ExitCode.NO_TESTS_COLLECTED


def test_one_passed_test_is_enough(tmp_path: Path) -> None:
    assert run(SKIPPED + PASSED, tmp_path, "--must-run") == pytest.ExitCode.OK


def test_a_desk_may_skip_everything(tmp_path: Path) -> None:
    assert run(SKIPPED, tmp_path) == pytest.ExitCode.OK
