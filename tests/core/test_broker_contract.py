"""The broker contract catches every fault it is there for.

A contract that passes everything certifies nothing. So each broken broker of
``tests/broken_brokers`` is run against the one test that must fail for it, and a
sound broker of the same make against all of these tests, which must pass.
"""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from broken_brokers import claiming, leases, sending, upkeep
from broken_brokers.sound import BrokenCase, Sound

from qcore.testing import BrokerContract

TESTS = Path(__file__).resolve().parents[1]
FOLDER = TESTS / "broken_brokers"
MODULES = (sending, claiming, leases, upkeep)
BROKEN = [
    (module, value)
    for module in MODULES
    for value in vars(module).values()
    if isinstance(value, type) and issubclass(value, Sound) and value.caught_by
]
# Class and test, without parameters, to the set of its outcomes.
Outcomes = dict[tuple[str, str], set[str]]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """Run what must fail, and the control, each file in a pytest of its own.

    They spend their time waiting for leases to end, so they run side by side.
    """
    chosen = {
        f"{module.__name__.rpartition('.')[2]}.py": [
            f"Test{kind.__name__}::{kind.caught_by}"
            for of, kind in BROKEN
            if of is module
        ]
        for module in MODULES
    }
    chosen["sound.py"] = sorted({f"TestSound::{kind.caught_by}" for _, kind in BROKEN})
    folder = tmp_path_factory.mktemp("contract")
    runs = [
        (start(folder / file, [f"{file}::{test}" for test in tests]), folder / file)
        for file, tests in chosen.items()
    ]
    found: Outcomes = {}
    for run, report in runs:
        output, _ = run.communicate(timeout=100)
        assert run.returncode in {0, pytest.ExitCode.TESTS_FAILED}, output
        collect(report, found)
    return found


def start(report: Path, tests: list[str]) -> subprocess.Popen[str]:
    """Start a pytest that knows nothing of the one that runs this test."""
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    words += ["-c", os.devnull, "--rootdir", str(FOLDER), "-o", f"pythonpath={TESTS}"]
    words += ["--import-mode=importlib", "-o", "junit_family=xunit1"]
    words += [f"--junitxml={report}", *tests]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment.pop("PYTEST_ADDOPTS", None)
    return subprocess.Popen(
        words,
        cwd=FOLDER,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def collect(report: Path, found: Outcomes) -> None:
    """Add the outcomes of one run."""
    for case in ET.parse(report).iter("testcase"):
        name = case.attrib["name"].partition("[")[0]
        kind = case.attrib["classname"].rpartition(".")[2]
        outcome = next((e.tag for e in case if e.tag != "properties"), "passed")
        found.setdefault((kind, name), set()).add(outcome)


@pytest.mark.parametrize(
    "broken", [kind for _, kind in BROKEN], ids=lambda k: k.__name__
)
def test_the_contract_catches(broken: type[Sound], outcomes: Outcomes) -> None:
    """The named test fails for the broken broker, and passes for the sound one."""
    assert "failure" in outcomes[f"Test{broken.__name__}", broken.caught_by]
    assert outcomes["TestSound", broken.caught_by] == {"passed"}


def test_every_broken_broker_is_judged_by_the_public_contract() -> None:
    assert issubclass(BrokenCase, BrokerContract)
    assert len(BROKEN) > 50


# Tests of the contract for which no broken broker in one process can be made; the
# folder broker of qcore-example and the brokers of real services run them.
UNPROVEN = {
    "test_processes_race",
    "test_forked_children_use_their_own_connection",
}


def test_every_test_of_the_contract_catches_something() -> None:
    """A new test of the contract comes with a broker that it fails."""
    tests = {name for name in dir(BrokerContract) if name.startswith("test_")}
    assert tests - {kind.caught_by for _, kind in BROKEN} == UNPROVEN
