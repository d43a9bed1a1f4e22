"""Error reporters that break a promise; the service is a file that they append to."""

from __future__ import annotations

import json
import logging
import os
import queue
import threading
import time
import traceback
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from broken_kit.common import cases

from qcore.errors import ConfigError
from qcore.reporters.base import ErrorReporter, Report
from qcore.testing import ErrorReporterContract

SECRET = "hunter2-of-the-service"
FIELDS = ("task_id", "task_name", "func", "queue", "group", "attempt", "outcome",
          "worker", "message")  # fmt: skip


class Sound(ErrorReporter):
    """Sends from a thread of its own. Each subclass has one fault."""

    caught_by: ClassVar[str] = ""
    known: ClassVar[set[str]] = {"path", "token"}

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.check(options)
        self.path = Path(options["path"])
        self.waiting: queue.Queue[str] = queue.Queue()
        self.thread: threading.Thread | None = None

    def check(self, options: dict[str, Any]) -> None:
        for name in set(options) - self.known:
            raise ConfigError(f"unknown option {name!r}")

    def report(self, report: Report) -> None:
        self.waiting.put(json.dumps(self.document(report), default=repr))
        if self.thread is None:
            self.thread = threading.Thread(target=self.run, daemon=True)
            self.thread.start()

    def document(self, report: Report) -> dict[str, Any]:
        found = {name: getattr(report, name) for name in FIELDS}
        lines = traceback.format_exception(*report.exc_info) if report.exc_info else []
        return found | {"trace": "".join(lines), "group_by": self.group_by(report),
                        "args": report.args, "kwargs": report.kwargs}  # fmt: skip

    def group_by(self, report: Report) -> str:
        return f"{report.func} {report.outcome} {type(report.exception).__name__}"

    def run(self) -> None:
        while True:
            self.send(self.waiting.get())
            self.waiting.task_done()

    def send(self, text: str) -> None:
        state = self.path.with_suffix(".state")
        while state.exists() and state.read_text() == "hang":
            time.sleep(0.01)
        if state.exists() or not self.path.parent.exists():
            return  # refused
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, f"{text}\n".encode())
        finally:
            os.close(descriptor)

    def flush(self, timeout: float) -> None:
        end = time.monotonic() + timeout
        while self.waiting.unfinished_tasks and time.monotonic() < end:
            time.sleep(0.005)


class SendsNoGroup(Sound):
    caught_by = "test_a_failure_arrives"

    def document(self, report: Report) -> dict[str, Any]:
        return super().document(report) | {"group": None}


class NeedsAnException(Sound):
    caught_by = "test_a_death_arrives"

    def report(self, report: Report) -> None:
        if report.exception is not None:
            super().report(report)


class IgnoresTimeOuts(Sound):
    caught_by = "test_a_timeout_arrives"

    def report(self, report: Report) -> None:
        if report.outcome != "timeout":
            super().report(report)


class AsksForTheText(Sound):
    caught_by = "test_every_exception_arrives"

    def document(self, report: Report) -> dict[str, Any]:
        return super().document(report) | {"text": str(report.exception)}


class EncodesStrictly(Sound):
    caught_by = "test_nothing_is_optional_but_what_says_so"

    def report(self, report: Report) -> None:
        report.message.encode()
        super().report(report)


class SendsVariables(Sound):
    caught_by = "test_arguments_stay_unless_asked_for"

    def document(self, report: Report) -> dict[str, Any]:
        found, trace = [], report.exception and report.exception.__traceback__
        while trace:
            found.append(repr(trace.tb_frame.f_locals))
            trace = trace.tb_next
        return super().document(report) | {"variables": found}


class ForgetsKeywords(Sound):
    caught_by = "test_arguments_leave_where_they_are_asked_for"

    def document(self, report: Report) -> dict[str, Any]:
        return super().document(report) | {"kwargs": None}


class GroupsByAttempt(Sound):
    caught_by = "test_equal_failures_are_one_group"

    def group_by(self, report: Report) -> str:
        return f"{super().group_by(report)} {report.attempt}"


class GroupsEverything(Sound):
    caught_by = "test_equal_failures_are_one_group"

    def group_by(self, report: Report) -> str:
        return "qcore"


class RaisesItAgain(Sound):
    caught_by = "test_the_exception_is_left_as_it_was"

    def report(self, report: Report) -> None:
        try:
            raise report.exception or ValueError
        except BaseException:  # noqa: BLE001 - a task may raise anything
            super().report(report)


class SendsAtOnce(Sound):
    caught_by = "test_a_task_does_not_wait_for_the_service"

    def report(self, report: Report) -> None:
        text = json.dumps(self.document(report), default=repr)
        done = threading.Thread(target=self.send, args=(text,), daemon=True)
        done.start()
        done.join(5)


class RaisesWithoutAService(Sound):
    caught_by = "test_a_dead_service_harms_nobody"

    def report(self, report: Report) -> None:
        if not self.path.parent.exists():
            raise ConnectionError("nobody listens")
        super().report(report)


class LogsItsToken(Sound):
    caught_by = "test_a_dead_service_harms_nobody"

    def report(self, report: Report) -> None:
        logging.getLogger("broken").warning("options: %s", self.options)
        super().report(report)


class WaitsForEver(Sound):
    caught_by = "test_flush_gives_up"

    def flush(self, timeout: float) -> None:
        super().flush(5)


class DoesNotFlush(Sound):
    caught_by = "test_flush_sends_what_is_left"

    def send(self, text: str) -> None:
        time.sleep(0.05)
        super().send(text)

    def flush(self, timeout: float) -> None:
        """Return too early."""


class FlushesOnce(Sound):
    caught_by = "test_flush_without_reports"

    def flush(self, timeout: float) -> None:
        del self.waiting


class HasOneThread(Sound):
    caught_by = "test_one_for_each_thread"
    owner: ClassVar[int | None] = None

    def report(self, report: Report) -> None:
        if threading.current_thread() is threading.main_thread():
            super().report(report)


class KeepsTheThreadOfItsParent(Sound):
    caught_by = "test_forked_children_report"
    shared: ClassVar[list[Any]] = []

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if not self.shared:
            self.thread = threading.Thread(target=self.run, daemon=True)
            self.thread.start()
            self.shared.extend([self.waiting, self.thread])
        self.waiting, self.thread = self.shared


class TakesAnyOption(Sound):
    caught_by = "test_a_misspelt_option_is_named"

    def check(self, options: dict[str, Any]) -> None:
        """Check nothing."""


class ShowsTheToken(Sound):
    caught_by = "test_a_misspelt_option_is_named"

    def check(self, options: dict[str, Any]) -> None:
        for name in set(options) - self.known:
            raise ConfigError(f"unknown option {name!r} in {options}")


class Case(ErrorReporterContract):
    kind: ClassVar[type[Sound]]
    patience = 1.0
    at_once = 1.0
    secret = SECRET
    misspelt = ({"pth": "x"}, "'pth'")
    shows = ("task_id", "task_name", "func", "queue", "group", "attempt", "worker")
    shows_arguments = True

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        return tmp_path / "failures"

    @pytest.fixture
    def make_reporter(self, file: Path) -> Callable[..., ErrorReporter]:
        return lambda **o: self.kind(**{"path": str(file), "token": SECRET, **o})

    @pytest.fixture
    def arrived(self, file: Path) -> Callable[[], list[str]]:
        return lambda: file.read_text().splitlines() if file.exists() else []

    @pytest.fixture
    def group_of(self) -> Callable[[str], Hashable]:
        return lambda text: str(json.loads(text)["group_by"])

    @pytest.fixture
    def disturb(self, file: Path) -> Callable[[str], None]:
        return lambda how: [file.with_suffix(".state").write_text(how), None][1]

    @pytest.fixture
    def dead_reporter(self, tmp_path: Path) -> ErrorReporter:
        return self.kind(path=str(tmp_path / "absent" / "failures"), token=SECRET)


globals().update(cases(globals(), Sound, Case))
