"""A run in which every test was skipped is not a passed one, when asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.contract_runs import lean_pytest

pytestmark = pytest.mark.once

SKIPPED = "import pytest\n\ndef test_one():\n    pytest.skip('no server')\n"
PASSED = "\n\ndef test_two():\n    assert True\n"


def run(source: str, folder: Path, *words: str) -> int:
    """Run the tests in ``source`` with our options of pytest."""
    (folder / "test_it.py").write_text(source)
    return lean_pytest(folder, str(folder), *words).returncode


def test_only_skipped_tests_fail_the_run(tmp_path: Path) -> None:
    assert run(SKIPPED, tmp_path, "--must-run") == pytest.ExitCode.NO_TESTS_COLLECTED


def test_only_skipped_tests_fail_a_run_in_two_processes_too(tmp_path: Path) -> None:
    code = run(SKIPPED, tmp_path, "--must-run", "-p", "xdist", "-n", "2")
    assert code == pytest.ExitCode.NO_TESTS_COLLECTED


def test_one_passed_test_is_enough(tmp_path: Path) -> None:
    assert run(SKIPPED + PASSED, tmp_path, "--must-run") == pytest.ExitCode.OK


def test_a_desk_may_skip_everything(tmp_path: Path) -> None:
    assert run(SKIPPED, tmp_path) == pytest.ExitCode.OK
