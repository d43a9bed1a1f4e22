"""Error reporters as the core makes them, tells them, and lets them go."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import ClassVar

import pytest
from support.failed_runs import report
from support.fake_services import FakeServices

from qcore.errors import TaskNotFound
from qcore.plugins import Registry
from qcore.reporters.base import ErrorReporter
from qcore.runtime import current
from qcore.tasks.execute import _timed


class Faulty(ErrorReporter):
    def __init__(self, **options: object) -> None:
        raise ValueError("cannot reach https://user:hunter2@host/7")


class Unflushable(ErrorReporter):
    flushed: ClassVar[list[float]] = []

    def flush(self, timeout: float) -> None:
        self.flushed.append(timeout)
        raise OSError("the socket is closed")


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch, settings: object) -> None:
    """A project whose reporters are these two."""
    classes = {"faulty": Faulty, "unflushable": Unflushable}
    settings.Q_CLUSTER = {  # type: ignore[attr-defined]
        "name": "tests",
        "error_reporter": {name: {} for name in classes},
    }
    monkeypatch.setattr(Registry, "load", lambda self, kind, name: classes[name])


def test_one_that_cannot_be_made_is_told_once(
    chosen: None, caplog: pytest.LogCaptureFixture
) -> None:
    assert [type(r) for r in current.reporters] == [Unflushable]
    current._local.made = {}  # as in a process that was forked later
    assert [type(r) for r in current.reporters] == [Unflushable]
    (line,) = [r.getMessage() for r in caplog.records if r.name == "qcore.runtime"]
    assert line == (
        "error reporter 'faulty' is left out: cannot reach https://user:***@host/7"
    )


def test_flushing_reaches_those_that_were_made_and_raises_nothing(
    chosen: None, caplog: pytest.LogCaptureFixture
) -> None:
    Unflushable.flushed.clear()
    current._local.made = {}
    current.flush_reporters(1.5)
    assert Unflushable.flushed == [], "nothing is made only to be flushed"
    assert current.reporters
    with caplog.at_level(logging.ERROR):
        current.flush_reporters(1.5)
    assert Unflushable.flushed == [1.5]
    assert "Unflushable was not flushed" in caplog.text


def task(text: str) -> None:
    raise KeyError(text)


async def coroutine(text: str) -> None:
    task(text)


@pytest.mark.parametrize("function", [task, coroutine])
def test_the_traceback_of_a_report_begins_in_the_task(
    function: Callable[..., object],
) -> None:
    with pytest.raises(KeyError) as raised:
        _timed(FakeServices("traceback").task(), function, ["canary"], {}, None)
    info = report(raised.value).exc_info
    assert info is not None
    assert info[2] is not None
    assert info[2].tb_frame.f_code.co_name == function.__name__


def test_of_an_error_of_qcore_itself_nothing_is_left_out() -> None:
    error = _own()
    assert report(error).exc_info == (TaskNotFound, error, error.__traceback__)
    assert report().exc_info is None


def _own() -> BaseException:
    from qcore.tasks.functions import resolve

    try:
        resolve("qcore.no_such_module.task")
    except TaskNotFound as error:
        assert error.__traceback__ is not None
        error.__traceback__ = error.__traceback__.tb_next  # less the frame of this test
        return error
    raise AssertionError
