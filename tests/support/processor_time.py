"""Which files of tests cost most processor time, with the programs that they start.

A pytest plugin, asked for by name::

    python3 noxfile.py -s tests -- -p support.processor_time

The time on the clock says little of a run in several processes: a test that waits costs
nothing. Servers that a whole run shares count for no file, for they end after the last one.
"""

from __future__ import annotations

import resource
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from support import quick_starts

if TYPE_CHECKING:
    from collections.abc import Generator

#: How many files, and how many tests, are shown.
SHOWN = 40
PROPERTY = "processor seconds"


def spent() -> float:
    """Return the processor seconds of this process and of its children that have ended."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    here = sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, kinds))
    return here + quick_starts.spent()


class ProcessorTime:
    """Measures each test, and adds up what was measured in all processes."""

    def __init__(self) -> None:
        self.files: Counter[str] = Counter()
        self.tests: Counter[str] = Counter()
        self._begun = 0.0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self) -> None:
        self._begun = spent()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None]:
        try:
            yield
        finally:
            item.user_properties.append((PROPERTY, spent() - self._begun))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, seconds in report.user_properties:
            if name == PROPERTY and isinstance(seconds, float):
                self.tests[report.nodeid] += seconds  # type: ignore[assignment]
                self.files[report.nodeid.split("::")[0]] += seconds  # type: ignore[assignment]

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> None:
        write = terminalreporter.write_line
        terminalreporter.section("processor seconds")
        write(f"{sum(self.files.values()):8.1f} all tests")
        for counted in (self.files, self.tests):
            write("")
            for name, seconds in counted.most_common(SHOWN):
                write(f"{seconds:8.1f} {name}")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(ProcessorTime())
