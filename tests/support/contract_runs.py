"""Runs of pytest that know nothing of the one that starts them: contracts on trial."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]


class Outcomes(dict[tuple[str, str], set[str]]):
    """Class and test, without parameters, to the set of its outcomes."""

    def __init__(self) -> None:
        super().__init__()
        self._texts: dict[tuple[str, str], list[str]] = {}

    def add(self, key: tuple[str, str], outcome: str, text: str) -> None:
        """Note one more outcome, with what pytest says of it."""
        self.setdefault(key, set()).add(outcome)
        self._texts.setdefault(key, []).append(text)

    def text(self, *key: str) -> str:
        """Return what pytest said of a test that should have passed."""
        return "\n".join(self._texts.get((key[0], key[1]), []))


def lean_pytest(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run pytest with our options, and none of the plugins that make it slow to start.

    Args:
        folder: the root of the run.
        words: of the command line; ``-p xdist`` brings that plugin back.
    """
    ours = ["-o", f"pythonpath={TESTS}", "-p", "shared_fixtures"]
    bare = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(folder)]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *bare, *ours, *words],
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def _environment() -> dict[str, str]:
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment.pop("PYTEST_ADDOPTS", None)
    return environment


def judge(
    folder: Path, chosen: Mapping[str, Sequence[str]], reports: Path, *words: str
) -> Outcomes:
    """Run the chosen tests of each file in a pytest of its own, side by side.

    Args:
        folder: where the files are.
        chosen: file to tests, as ``TestSound::test_limit_is_kept``.
        reports: a folder for what the runs write.
        words: more options of pytest.
    """
    runs = [
        (
            _start(folder, reports / file, [*words, *(f"{file}::{t}" for t in tests)]),
            file,
        )
        for file, tests in chosen.items()
    ]
    found = Outcomes()
    try:
        for run, file in runs:
            output, _ = run.communicate(timeout=500)
            assert run.returncode in {0, pytest.ExitCode.TESTS_FAILED}, output
            _collect(reports / file, found)
    finally:
        for run, _ in runs:
            run.kill()
            run.communicate()
    return found


def _start(folder: Path, report: Path, tests: list[str]) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    words += ["-c", os.devnull, "--rootdir", str(folder), "-o", f"pythonpath={TESTS}"]
    words += ["--import-mode=importlib", "-o", "junit_family=xunit1"]
    words += [f"--junitxml={report}", *tests]
    return subprocess.Popen(
        words,
        cwd=folder,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _collect(report: Path, found: Outcomes) -> None:
    for case in ET.parse(report).iter("testcase"):
        name = case.attrib["name"].partition("[")[0]
        kind = case.attrib["classname"].rpartition(".")[2]
        told = next((e for e in case if e.tag != "properties"), None)
        outcome, text = ("passed", "") if told is None else (told.tag, told.text or "")
        found.add((kind, name), outcome, text)
