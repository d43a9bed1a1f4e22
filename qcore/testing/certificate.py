"""A pytest plugin that writes the certificate of a plugin: the promises that it keeps.

::

    python -m pytest -p qcore.testing.certificate --certificate=certificate.json

runs the tests and writes, for each class that inherits a contract, which of its tests
passed, which were skipped and why, and which failed; and for a broker the service, its
capabilities and its limits. Nothing is written unless every such class ran.

The document, of the schema ``qcore.certificate/1``::

    {
      "schema": "qcore.certificate/1",
      "plugin": "sqs", "distribution": "qcore-sqs", "version": "2.0.0",
      "qcore": "2.0.0", "date": "2026-11-23",
      "suites": [
        {
          "suite": "TestMoto", "contract": "BrokerContract",
          "service": "moto 5.2.5",
          "broker": {
            "class": "qcore_sqs.broker:SQSBroker", "subclass": null,
            "capabilities": {"receipts": true, ...},
            "max_payload": 262144, "max_batch": 10
          },
          "passed": ["test_counts", ...],
          "skipped": {"test_delete": "SQSBroker has no delete", ...},
          "failed": [],
          "replaced": []
        }
      ]
    }

``service`` is what the class says that it runs on, else what the broker says, else null.
``broker`` is null for other contracts, ``plugin`` where the class belongs to none.
``subclass`` has the name and the first line of what the tests put in its place.
``replaced`` has the tests that the class has written anew: what these ask is not what
the contract asks. Dates are in UTC.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from .. import __version__
from ..brokers.base import CAPABILITIES, Broker
from ..plugins import GROUP
from . import _CONTRACTS

SCHEMA = "qcore.certificate/1"

#: The test after which a broker is asked for its service.
_PORTRAIT = "test_info"


@dataclass(slots=True)
class Suite:
    """The outcomes of one test class that inherits a contract."""

    name: str
    contract: type  # of qcore.testing
    service: str | None
    broker: dict[str, Any] | None = None
    skipped: dict[str, str] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    replaced: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)

    @property
    def passed(self) -> list[str]:
        """The tests that were neither skipped nor failed, by name."""
        return sorted(self.seen - self.failed - self.skipped.keys())

    @property
    def lacks(self) -> str | None:
        """Why it cannot be certified, or None."""
        if not self.passed:
            return "none of its tests passed"
        if self.contract.__name__ == "BrokerContract" and self.broker is None:
            return f"{_PORTRAIT} did not pass"
        return None

    def as_dict(self) -> dict[str, Any]:
        """Return the entry of this class in the certificate."""
        return {
            "suite": self.name,
            "contract": self.contract.__name__,
            "service": self.service,
            "broker": self.broker,
            "passed": self.passed,
            "skipped": dict(sorted(self.skipped.items())),
            "failed": sorted(self.failed),
            "replaced": sorted(self.replaced),
        }


class Certifier:
    """Collects the outcomes of contract tests, and writes the certificate at the end.

    Args:
        path: of the certificate; its folder exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.suites: dict[type, Suite] = {}
        self.plugin: str | None = None  # the name of an entry point
        self.packages: set[str] = set()  # the top-level modules of the brokers

    # -- what pytest calls -------------------------------------------------------
    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Function) -> Generator[None]:
        """Look at the broker while the fixtures of a passed test still stand."""
        yield
        suite = self._suite(item)
        if suite is None or item.originalname != _PORTRAIT:
            return
        broker = item.funcargs.get("broker")
        if isinstance(broker, Broker):
            suite.broker = _portrait(broker)
            suite.service = suite.service or broker.info()
            self.packages.add(_top(suite.broker["class"]))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Function
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note the outcome of a test; setup and teardown count."""
        report = yield
        if (suite := self._suite(item)) is not None:
            _note(suite, item.name, report)
            name = item.originalname
            if getattr(item.cls, name) is not getattr(suite.contract, name):
                suite.replaced.add(name)
        return report

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the certificate, or say why there is none and fail the run."""
        if reason := self._refusal():
            reporter = session.config.pluginmanager.get_plugin("terminalreporter")
            if reporter is not None:
                reporter.ensure_newline()
                reporter.write_line(f"--certificate: not written: {reason}", red=True)
            if session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
            return
        text = json.dumps(self.as_dict(), indent=2, ensure_ascii=False)
        self.path.write_text(text + "\n", "utf-8")

    # -- what it makes of it -----------------------------------------------------
    def as_dict(self) -> dict[str, Any]:
        """Return the certificate; its shape stands at the top of this module."""
        return {
            "schema": SCHEMA,
            **self._origin(),
            "qcore": __version__,
            "date": datetime.now(UTC).date().isoformat(),
            "suites": [suite.as_dict() for suite in self._ordered()],
        }

    def _ordered(self) -> list[Suite]:
        return sorted(self.suites.values(), key=lambda s: (s.contract.__name__, s.name))

    def _suite(self, item: pytest.Item) -> Suite | None:
        """Return the suite of a test that the contract itself has, or None."""
        if not isinstance(item, pytest.Function) or item.cls is None:
            return None
        contract = next(filter(_is_contract, item.cls.__mro__), None)
        if contract is None or not hasattr(contract, item.originalname):
            return None  # the author's own test
        if item.cls not in self.suites:
            service = getattr(item.cls, "service", None)
            self.suites[item.cls] = Suite(item.cls.__name__, contract, service)
            if contract.__name__ == "PluginContract":
                self.plugin = item.cls.name
        return self.suites[item.cls]

    def _refusal(self) -> str | None:
        if not self.suites:
            return "no class inherits a contract of qcore.testing"
        found = ((suite.name, suite.lacks) for suite in self.suites.values())
        return next((f"{name}: {why}" for name, why in found if why), None)

    def _origin(self) -> dict[str, str | None]:
        """Return the plugin, its distribution and its version, as far as there are."""
        for point in entry_points(group=GROUP):
            ours = point.name == self.plugin or _top(point.value) in self.packages
            if point.dist and ours:
                return {
                    "plugin": point.name,
                    "distribution": point.dist.name,
                    "version": point.dist.version,
                }
        core = "qcore" in self.packages
        return {
            "plugin": "builtin" if core else None,
            "distribution": "qcore" if core else None,
            "version": __version__ if core else None,
        }


def _is_contract(one: type) -> bool:
    return one.__name__ in _CONTRACTS and one.__module__.startswith(__package__ or "")


def _portrait(broker: Broker) -> dict[str, Any]:
    kind, published = type(broker), _published(type(broker))
    told = (kind.__doc__ or "").partition("\n")[0]
    return {
        "class": f"{published.__module__}:{published.__qualname__}",
        "subclass": None if kind is published else f"{kind.__qualname__}: {told}",
        "capabilities": {
            name: bool(getattr(broker, f"supports_{name}")) for name in CAPABILITIES
        },
        "max_payload": broker.max_payload,
        "max_batch": broker.max_batch,
    }


def _published(kind: type[Broker]) -> type:
    """Return the class of an installed plugin that a class is or inherits from."""
    tops = {"qcore", *(_top(point.value) for point in entry_points(group=GROUP))}
    line = kind.__mro__[: kind.__mro__.index(Broker)]
    return next((one for one in line if _top(one.__module__) in tops), kind)


def _top(module: str) -> str:
    """Return the top-level package of a module or a target."""
    return module.partition(":")[0].partition(".")[0]


def _note(suite: Suite, name: str, report: pytest.TestReport) -> None:
    suite.seen.add(name)
    if report.failed or hasattr(report, "wasxfail"):
        # what is expected to fail is not kept either
        suite.failed.add(name)
        suite.skipped.pop(name, None)
    elif report.skipped and name not in suite.failed:
        suite.skipped[name] = _reason(report)


def _reason(report: pytest.TestReport) -> str:
    place = report.longrepr
    said = place[2] if isinstance(place, tuple) else str(place)
    return said.removeprefix("Skipped: ")


# -- the plugin itself -----------------------------------------------------------------
def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--certificate",
        type=Path,
        metavar="FILE",
        help="write what the tests of qcore's contracts have found",
    )


def pytest_configure(config: pytest.Config) -> None:
    path: Path | None = config.getoption("--certificate")
    if path is None:
        return
    if getattr(config.option, "numprocesses", None):
        raise pytest.UsageError("--certificate wants all tests in one process: -n 0")
    config.pluginmanager.register(Certifier(config.invocation_params.dir / path))
