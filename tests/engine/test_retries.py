"""Every case of what becomes of a delivery, as a table."""

from __future__ import annotations

import pytest

from qcore.conf import Conf
from qcore.engine.dispatcher.retries import Decision, decide
from qcore.envelope import Options, Outcome, Result, Task

DONE, AT_ONCE, LATER = Decision.DONE, Decision.AT_ONCE, Decision.LATER
S, F, T, C = Outcome.SUCCESS, Outcome.FAILURE, Outcome.TIMEOUT, Outcome.CRASH


def result(outcome, attempt, options):
    task = Task(
        id="0" * 32,
        name="n",
        func="a.b",
        queue="q",
        created=0.0,
        content="json",
        body=b"[[],{}]",
        options=Options(**options),
    )
    return Result(
        task=task,
        outcome=outcome,
        value=b"",
        content="text",
        started=0.0,
        stopped=0.0,
        attempt=attempt,
    )


@pytest.mark.parametrize(
    ("outcome", "attempt", "crashes", "conf", "options", "expected"),
    [
        # a success is done, whatever else is said
        (S, 1, 0, {}, {}, DONE),
        (S, 9, 2, {"max_attempts": 3}, {"ack_failure": False}, DONE),
        # a failure comes again, for ever by default
        (F, 1, 0, {}, {}, LATER),
        (F, 10_000, 0, {}, {}, LATER),
        (T, 1, 0, {}, {}, LATER),
        # unless failures are acknowledged
        (F, 1, 0, {"ack_failures": True}, {}, DONE),
        (T, 1, 0, {"ack_failures": True}, {}, DONE),
        (F, 1, 0, {}, {"ack_failure": True}, DONE),
        (F, 1, 0, {"ack_failures": True}, {"ack_failure": False}, LATER),
        # or its attempts are used up
        (F, 1, 0, {"max_attempts": 2}, {}, LATER),
        (F, 2, 0, {"max_attempts": 2}, {}, DONE),
        (F, 3, 0, {"max_attempts": 2}, {}, DONE),
        (T, 2, 0, {"max_attempts": 2}, {}, DONE),
        (F, 2, 0, {"max_attempts": 2}, {"max_attempts": 0}, LATER),
        (F, 2, 0, {"max_attempts": 2}, {"max_attempts": 5}, LATER),
        (F, 1, 0, {}, {"max_attempts": 1}, DONE),
        # a crash comes again at once, up to the cap that always holds
        (C, 1, 1, {}, {}, AT_ONCE),
        (C, 2, 2, {}, {}, AT_ONCE),
        (C, 3, 3, {}, {}, DONE),
        (C, 9, 1, {}, {}, AT_ONCE),
        (C, 1, 1, {"max_crashes": 1}, {}, DONE),
        (C, 3, 3, {"max_attempts": 50}, {"max_attempts": 0}, DONE),
        # its attempts count, too
        (C, 2, 1, {"max_attempts": 2}, {}, DONE),
        (C, 1, 1, {}, {"max_attempts": 1}, DONE),
        # acknowledging failures is not about crashes: the task has not said no
        (C, 1, 1, {"ack_failures": True}, {}, AT_ONCE),
        (C, 1, 1, {}, {"ack_failure": True}, AT_ONCE),
    ],
)
def test_decision(outcome, attempt, crashes, conf, options, expected):
    made = decide(result(outcome, attempt, options), crashes, Conf(**conf))
    assert made is expected
