"""The committed certificates say what is so today, of every plugin and every suite.

``python3 noxfile.py -s certify`` writes them anew.
"""

from __future__ import annotations

import ast
import copy
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from qcore.testing.contracts.brokers.waiting import scenarios
from qcore.testing.contracts.staleness import problems

ROOT = Path(__file__).resolve().parents[1]
# folder of a certificate -> the tests that it is of
CERTIFIED = {
    ROOT / "tests" / "core": ROOT / "tests/core/test_memory_broker.py",
    **{
        path.parent: path.parent / "tests" / "test_contract.py"
        for path in sorted(ROOT.glob("plugins/*/pyproject.toml"))
        # what stands in for nothing of the core keeps the contract of plugins alone
        if (path.parent / "tests" / "test_contract.py").is_file()
    },
}
REMEDY = "Run: python3 noxfile.py -s certify"
each = pytest.mark.parametrize("folder", CERTIFIED, ids=lambda path: path.name)


def certificate_of(folder: Path) -> Any:
    path = folder / "certificate.json"
    assert path.is_file(), f"{folder.name} has no certificate. {REMEDY}"
    return json.loads(path.read_text())


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a certificate says of a class is held against it; no need to install it."""
    places = [str(folder) for folder in CERTIFIED if folder.name.startswith("qcore-")]
    monkeypatch.setattr(sys, "path", [*sys.path, *places])


def test_every_plugin_that_provides_something_is_certified() -> None:
    for path in ROOT.glob("plugins/*/pyproject.toml"):
        if path.parent in CERTIFIED:
            continue
        source = "".join(one.read_text() for one in path.parent.glob("*/__init__.py"))
        assert "Provider(" not in source, f"{path.parent.name} has no test_contract.py"
        assert "qcore_task_options" not in source


@each
def test_a_certificate_is_true_today(folder: Path) -> None:
    assert problems(certificate_of(folder)) == [], REMEDY


@each
def test_every_suite_is_certified(folder: Path) -> None:
    tree = ast.parse(CERTIFIED[folder].read_text())
    suites = {
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test")
    }
    assert suites
    assert {one["suite"] for one in certificate_of(folder)["suites"]} == suites, REMEDY


@each
def test_what_plugins_promise_on_every_broker_was_played(folder: Path) -> None:
    """Of the plugins that are installed here: in `alone`, there are none."""
    asked = {f"test_scenarios_of_plugins[{name}]" for name in scenarios()}
    for suite in certificate_of(folder)["suites"]:
        if suite["contract"] == "BrokerContract":
            assert asked <= set(suite["passed"]), f"{suite['suite']}. {REMEDY}"


@each
def test_a_certificate_names_its_plugin(folder: Path) -> None:
    certificate = certificate_of(folder)
    name = "qcore" if folder.name == "core" else folder.name
    assert certificate["distribution"] == name
    assert certificate["version"] == certificate["qcore"]


@each
def test_a_certificate_shows_no_machine(folder: Path) -> None:
    """A port or a temporary folder in it would change with each run."""
    suites = certificate_of(folder)["suites"]
    services = [one["service"] for one in suites if one["service"]]
    assert services
    assert [text for text in services if "127.0.0.1" in text or "/tmp" in text] == []


def test_the_servers_of_the_tests_are_named_with_their_versions() -> None:
    """A new pin there is a new service, and wants a new certificate."""
    pinned = (ROOT / ".ci" / "server_packages.py").read_text()
    pins = re.findall(r'"(\w+)==([\w.]+)"', pinned)
    assert pins
    said = " ".join((one / "certificate.json").read_text() for one in CERTIFIED)
    assert [pin for pin in pins if " ".join(pin) not in said.lower()] == [], REMEDY


# -- that the tests above can fail ---------------------------------------------------
@pytest.fixture
def sound() -> Any:
    certificate = certificate_of(ROOT / "plugins" / "qcore-example")
    assert problems(certificate) == []
    return copy.deepcopy(certificate)


def broker_suite(certificate: Any) -> Any:
    (suite,) = [one for one in certificate["suites"] if one["broker"]]
    return suite


def test_a_flag_that_has_changed_is_found(sound: Any) -> None:
    broker_suite(sound)["broker"]["capabilities"]["bulk"] = True
    assert problems(sound) == ["TestBroker: bulk was True, and is False"]


def test_a_new_flag_is_found(sound: Any) -> None:
    del broker_suite(sound)["broker"]["capabilities"]["stats"]
    assert problems(sound) == ["TestBroker: stats was None, and is False"]


def test_a_new_promise_is_found(sound: Any) -> None:
    broker_suite(sound)["passed"].remove("test_ping")
    assert problems(sound) == ["TestBroker: test_ping is not in it"]


def test_a_promise_that_is_gone_is_found(sound: Any) -> None:
    broker_suite(sound)["skipped"]["test_of_old"] = "too old"
    assert problems(sound) == ["TestBroker: test_of_old is no test of today"]


def test_a_failure_is_found(sound: Any) -> None:
    suite = broker_suite(sound)
    suite["passed"].remove("test_ping")
    suite["failed"].append("test_ping")
    assert problems(sound) == ["TestBroker: test_ping failed"]


def test_a_promise_that_was_made_easier_is_found(sound: Any) -> None:
    broker_suite(sound)["replaced"].append("test_emptying")
    assert problems(sound) == [
        "TestBroker: test_emptying passed, but is not the contract's own test"
    ]


def test_another_schema_is_refused(sound: Any) -> None:
    sound["schema"] = "qcore.certificate/2"
    assert len(problems(sound)) == 1
