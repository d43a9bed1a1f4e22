"""The contract of an error reporter, as tests that a plugin inherits.

Write two fixtures and, where your service allows it, three more::

    class TestSentry(ErrorReporterContract):
        misspelt = ({"dns": "https://..."}, "dns")

        @pytest.fixture
        def make_reporter(self, server):
            return lambda **options: SentryReporter(dsn=server.dsn, **options)

        @pytest.fixture
        def arrived(self, server):  # each event as one text, JSON for example
            return lambda: [json.dumps(event) for event in server.events]

        @pytest.fixture
        def group_of(self):  # what the service puts events together by
            return lambda text: json.loads(text)["fingerprint"]

        @pytest.fixture
        def disturb(self, server):  # called with "hang" or "refuse"
            ...

        @pytest.fixture
        def dead_reporter(self):  # its service is not there
            return SentryReporter(dsn="http://key@127.0.0.1:9/1")

Every test asks for one promise, which is its docstring.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any, ClassVar

import pytest

from ...envelope import Outcome
from ...errors import ConfigError, TaskTimeout
from ...reporters.base import ErrorReporter, Report
from ..speed import Patience, quickest
from .failures import EXCEPTIONS, make_report, raised, raised_elsewhere, trail
from .forking import in_child

MakeReporter = Callable[..., ErrorReporter]
Arrived = Callable[[], list[str]]

#: Stands for a secret: it must not leave unless a test says so.
CANARY = "canary-hunter2"


#: The fields of a report that `Report.described` has, without arguments.
DESCRIBED = (
    "task_id",
    "task_name",
    "func",
    "queue",
    "group",
    "attempt",
    "outcome",
    "worker",
)


class ErrorReporterContract:
    """Everything that qcore relies on an error reporter for."""

    #: Seconds that something may take to arrive, on a slow machine.
    patience: ClassVar[float] = 20.0
    #: Seconds within which ``report`` must return whatever the service does.
    at_once: ClassVar[float] = 2.0
    #: Fields of a report that the service shows, such as `DESCRIBED`; each must arrive.
    shows: ClassVar[tuple[str, ...]] = ("task_id", "func", "outcome", "worker")
    #: Whether arguments arrive where a project asks for them (``report_args``).
    shows_arguments: ClassVar[bool] = False
    #: Options with a mistake, and the word that the ConfigError must name.
    misspelt: ClassVar[tuple[Mapping[str, Any], str] | None] = None
    #: A password among the options of `make_reporter`; no log may hold it.
    secret: ClassVar[str | None] = None
    #: What these tests run on, for the certificate.
    service: ClassVar[str | None] = None

    # -- fixtures of the plugin's author -------------------------------------
    @pytest.fixture
    def make_reporter(self) -> MakeReporter:
        """Return a callable ``(**options) -> ErrorReporter``, set up for the service."""
        raise NotImplementedError(
            f"{type(self).__name__} must define the fixture make_reporter;"
            " see qcore.testing.contracts.reporters"
        )

    @pytest.fixture
    def arrived(self) -> Arrived:
        """Return a callable that lists what the service has received, each as a text."""
        raise NotImplementedError(
            f"{type(self).__name__} must define the fixture arrived;"
            " see qcore.testing.contracts.reporters"
        )

    @pytest.fixture
    def group_of(self) -> Callable[[str], Hashable]:
        """Return a callable from a received text to the key of its group."""
        pytest.skip("the plugin's tests give no group_of")

    @pytest.fixture
    def disturb(self) -> Callable[[str], None]:
        """Return a callable that makes the service ``"hang"`` or ``"refuse"``."""
        pytest.skip("the plugin's tests give no disturb")

    @pytest.fixture
    def dead_reporter(self) -> ErrorReporter:
        """Return a reporter whose service is not there."""
        pytest.skip("the plugin's tests give no dead_reporter")

    # -- fixtures of the contract --------------------------------------------
    @pytest.fixture
    def reporter(self, make_reporter: MakeReporter) -> ErrorReporter:
        """One reporter."""
        return make_reporter()

    # -- what arrives ----------------------------------------------------------
    def test_a_failure_arrives(self, reporter: ErrorReporter, arrived: Arrived) -> None:
        """It says which task it was, who ran it, and what was raised."""
        report = make_report(raised(ValueError("no luck today")))
        reporter.report(report)
        (text,) = self.wait(arrived)
        for word in self.facts(report):
            assert word in text, f"{word!r} is missing in {text}"
        assert "ValueError" in text
        assert "no luck today" in text

    @pytest.mark.parametrize("outcome", [Outcome.CRASH, Outcome.TIMEOUT])
    def test_a_death_arrives(
        self, reporter: ErrorReporter, arrived: Arrived, outcome: str
    ) -> None:
        """A killed worker has left no exception; its failure arrives all the same."""
        report = make_report(None, outcome=outcome, message="killed by SIGKILL")
        reporter.report(report)
        (text,) = self.wait(arrived)
        for word in (*self.facts(report), "killed by SIGKILL"):
            assert word in text, f"{word!r} is missing in {text}"

    def test_a_timeout_arrives(self, reporter: ErrorReporter, arrived: Arrived) -> None:
        """A task that was stopped by an exception is reported with it."""
        report = make_report(raised(TaskTimeout("after 3 s")), outcome=Outcome.TIMEOUT)
        reporter.report(report)
        (text,) = self.wait(arrived)
        assert "TaskTimeout" in text
        assert report.task_id in text

    @pytest.mark.parametrize("kind", ["unprintable", "base", "chain", "group", "long"])
    def test_every_exception_arrives(
        self, reporter: ErrorReporter, arrived: Arrived, kind: str
    ) -> None:
        """Whatever a task raises, its failure arrives."""
        report = make_report(EXCEPTIONS[kind]())
        reporter.report(report)
        (text,) = self.wait(arrived)
        assert report.task_id in text

    def test_nothing_is_optional_but_what_says_so(
        self, reporter: ErrorReporter, arrived: Arrived
    ) -> None:
        """No group, and texts that are long, empty or of many lines: it arrives."""
        odd = {"group": None, "task_name": "n" * 5_000, "message": "a\nb\0\ud800 'é'"}
        report = make_report(None, func="é" * 300, **odd)
        reporter.report(report)
        (text,) = self.wait(arrived)
        assert report.task_id in text

    # -- what must not leave -----------------------------------------------------
    def test_arguments_stay_unless_asked_for(
        self, reporter: ErrorReporter, arrived: Arrived
    ) -> None:
        """Neither arguments nor variables of the task leave by themselves."""
        reporter.report(make_report(raised(ValueError("no"), password=CANARY)))
        (text,) = self.wait(arrived)
        assert CANARY not in text

    def test_arguments_leave_where_they_are_asked_for(
        self, reporter: ErrorReporter, arrived: Arrived
    ) -> None:
        """With ``report_args`` a report has them, and they arrive."""
        if not self.shows_arguments:
            pytest.skip("the reporter never sends arguments")
        asked = {"args": (f"first {CANARY}",), "kwargs": {"colour": f"last {CANARY}"}}
        reporter.report(make_report(raised(ValueError("no")), **asked))
        (text,) = self.wait(arrived)
        assert f"first {CANARY}" in text
        assert f"last {CANARY}" in text

    # -- grouping ----------------------------------------------------------------
    @pytest.mark.parametrize("outcome", ["failure", "timeout", "crash"])
    def test_equal_failures_are_one_group(
        self,
        reporter: ErrorReporter,
        arrived: Arrived,
        group_of: Callable[[str], Hashable],
        outcome: str,
    ) -> None:
        """Another task and attempt make no other group; another function does."""
        fails = outcome == Outcome.FAILURE
        same = {"outcome": outcome, "message": "no"}
        for attempt in range(1, 3):
            error = raised(ValueError("no")) if fails else None
            reporter.report(make_report(error, **same, attempt=attempt))
        error = raised_elsewhere(ValueError("no")) if fails else None
        reporter.report(make_report(error, **same, func="shop.tasks.other"))
        groups = [group_of(text) for text in self.wait(arrived, 3)]
        assert sorted(groups.count(group) for group in set(groups)) == [1, 2]

    # -- doing no harm -------------------------------------------------------------
    def test_the_exception_is_left_as_it_was(
        self, reporter: ErrorReporter, arrived: Arrived
    ) -> None:
        """The traceback that is stored with the result is the one of the task."""
        error = raised(ValueError("no"))
        before = trail(error.__traceback__)
        reporter.report(make_report(error))
        assert trail(error.__traceback__) == before
        self.wait(arrived)

    @pytest.mark.parametrize("how", ["hang", "refuse"])
    def test_a_task_does_not_wait_for_the_service(
        self, reporter: ErrorReporter, disturb: Callable[[str], None], how: str
    ) -> None:
        """``report`` returns at once and raises nothing while the service is disturbed."""
        disturb(how)

        def report() -> None:
            for _ in range(3):
                reporter.report(make_report(raised(ValueError("no"))))

        assert quickest(report, self.at_once) < self.at_once

    def test_a_dead_service_harms_nobody(
        self, dead_reporter: ErrorReporter, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Without a service nothing is raised, and ``flush`` still keeps its time."""
        report = make_report(raised(ValueError("no")))
        spent = quickest(lambda: dead_reporter.report(report), self.at_once)
        assert spent < self.at_once
        bound = 0.3 + self.at_once
        assert quickest(lambda: dead_reporter.flush(0.3), bound) < bound
        if self.secret is not None:
            assert self.secret not in caplog.text

    def test_flush_gives_up(
        self, reporter: ErrorReporter, disturb: Callable[[str], None]
    ) -> None:
        """``flush`` keeps its time while the service hangs."""
        disturb("hang")
        reporter.report(make_report(raised(ValueError("no"))))
        bound = 0.3 + self.at_once
        assert quickest(lambda: reporter.flush(0.3), bound) < bound

    def test_flush_sends_what_is_left(
        self, reporter: ErrorReporter, arrived: Arrived
    ) -> None:
        """When ``flush`` returns in time, everything has arrived."""
        for _ in range(5):
            reporter.report(make_report(raised(ValueError("no"))))
        reporter.flush(self.patience)
        assert len(arrived()) == 5

    def test_flush_without_reports(self, reporter: ErrorReporter) -> None:
        """``flush`` with nothing to send, and once more, is no error."""
        reporter.flush(0.1)
        reporter.flush(0.1)

    # -- processes and threads -----------------------------------------------------
    def test_one_for_each_thread(
        self, make_reporter: MakeReporter, arrived: Arrived
    ) -> None:
        """Each thread makes its own, and each failure arrives once."""
        make_reporter()
        reports = [make_report(raised(ValueError("no"))) for _ in range(4)]

        def work(report: Report) -> None:
            make_reporter().report(report)

        threads = [threading.Thread(target=work, args=(one,)) for one in reports]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        texts = self.wait(arrived, 4)
        found = [one.task_id for one in reports for t in texts if one.task_id in t]
        assert sorted(found) == sorted(one.task_id for one in reports)

    def test_forked_children_report(
        self, make_reporter: MakeReporter, arrived: Arrived
    ) -> None:
        """It is made before a cluster forks, and again in each child that reports."""
        before = make_reporter()
        before.report(make_report(raised(ValueError("of the parent"))))
        before.flush(self.patience)

        def work() -> None:
            mine = make_reporter()
            mine.report(make_report(raised(ValueError("of the child"))))
            mine.flush(self.patience)

        assert in_child(work) == 0, "the child failed; see its traceback above"
        assert any("of the child" in text for text in self.wait(arrived, 2))

    # -- options ---------------------------------------------------------------------
    def test_a_misspelt_option_is_named(
        self, make_reporter: MakeReporter, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It raises ConfigError, in one line, and shows no secret."""
        if self.misspelt is None:
            pytest.skip("the plugin's tests give no misspelt options")
        options, word = self.misspelt
        with pytest.raises(ConfigError, match=word) as raised:
            make_reporter(**options)
        assert "\n" not in str(raised.value)
        if self.secret is not None:
            assert self.secret not in str(raised.value)
            assert self.secret not in caplog.text

    # -- helpers ---------------------------------------------------------------------
    def facts(self, report: Report) -> list[str]:
        """Return the texts that must arrive of every report."""
        return [str(getattr(report, field)) for field in self.shows]

    def wait(self, arrived: Arrived, count: int = 1) -> list[str]:
        """Wait until so many have arrived, and return them; fail where more have."""
        patience = Patience(self.patience)
        while len(found := arrived()) < count:
            if patience.is_over():
                pytest.fail(f"{count} were reported, {len(found)} arrived in time")
            time.sleep(0.01)
        assert len(found) == count, f"{count} were reported, {len(found)} arrived"
        return found
