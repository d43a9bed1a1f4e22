"""Fingerprints of errors: what makes two failures the same, and what does not."""

from __future__ import annotations

import asyncio
import json
import uuid

import msgspec
import pytest

from qcore.envelope import Attempt, Outcome, Task, new_id
from qcore.results.fingerprint import DIGITS, fingerprint_of, normalised, own_frames
from qcore.results.rows import row_of, task_of
from qcore.tasks.execute import error_text
from qcore.tasks.tracking import path_of_class


def _task(**fields):
    usual = {
        "id": new_id(), "name": "n", "func": "shop.tasks.add", "queue": "q",
        "created": 0.0, "content": "json", "body": b"[[], {}]",
    }  # fmt: skip
    return Task(**(usual | fields))


def _print(text, outcome=Outcome.FAILURE, error=None):
    return fingerprint_of(Attempt.failed(outcome, text, error=error).result(_task(), 1))


def _of(function, *args):
    """Return the fingerprint of what a function raises, as a worker would store it."""
    try:
        function(*args)
    except BaseException as error:  # noqa: BLE001 - whatever it raises
        return _print(error_text(error), error=path_of_class(error))
    raise AssertionError("it has raised nothing")


def _charge(order):
    raise ValueError(f"order {order} of {order!r} is refused")


def _refund(order):
    raise ValueError(f"order {order} of {order!r} is refused")


def _decode(text):
    json.loads(text)


def _wrapped(number):
    try:
        [][number]
    except IndexError as error:
        raise LookupError(f"no {number}") from error


def _deep(depth):
    return _deep(depth - 1) if depth else _charge(depth)


async def _together():
    async with asyncio.TaskGroup() as group:
        group.create_task(_later(1))


async def _later(number):
    raise ValueError(number)


def test_numbers_and_ids_split_no_group():
    assert _of(_charge, 17) == _of(_charge, "A-18") == _of(_charge, uuid.uuid4())
    assert len(_of(_charge, 17)) == DIGITS


def test_place_and_class_tell_errors_apart():
    found = {_of(_charge, 1), _of(_refund, 1), _of(_decode, "x"), _of(_wrapped, 3)}
    assert len(found) == 4


def test_code_of_others_does_not_count():
    # json raises in another line for each of these, and in another function
    assert _of(_decode, "x") == _of(_decode, '["a')


def test_a_recursion_is_one_error_however_deep():
    assert _of(_deep, 3) == _of(_deep, 40)


def test_the_exception_that_ended_the_task_counts():
    assert _of(_wrapped, 3) == _of(_wrapped, 4)
    assert own_frames(_text(_wrapped))[-1] == "core/test_fingerprint.py:_wrapped"


def _text(function):
    try:
        function(3)
    except LookupError as error:
        return error_text(error)
    raise AssertionError("it has raised nothing")


def test_a_group_of_exceptions_has_a_fingerprint():
    assert _of(asyncio.run, _together()) == _of(asyncio.run, _together())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("WorkerDied: the worker 17 ended by signal 9", "WorkerDied: the worker 4 ended by signal 9"),
        ("KeyError: 'ann'", "KeyError: 'bob'"),
        ("E: mail to ann@example.org failed", "E: mail to bob.c@example.com failed"),
        ("E: https://example.org/1 is away", "E: https://example.com/a?b=2 is away"),
        ("E: order 0192f3a4-8c1b-7def-8000-0242ac120002", "E: order 0192f3a4-0000-7def-8000-0242ac120003"),
        ("E: at 0x7f3b3fa70fe0", "E: at 0x7fa836331260"),
        ("E: 12:30:05, 1,024.5 s", "E: 9:00, 7 s"),
    ],
)  # fmt: skip
def test_messages_without_frames_are_compared_without_what_differs(one, other):
    assert _print(one, Outcome.CRASH) == _print(other, Outcome.CRASH)
    assert normalised(one) == normalised(other)


def test_words_of_a_message_tell_errors_apart():
    assert _print("E: no such table") != _print("E: no such column")
    assert normalised("E: dead beef is faced") == "E: dead beef is faced"
    assert _print("E: no", Outcome.CRASH) != _print("E: no", Outcome.TIMEOUT)


def test_a_deploy_to_another_folder_is_the_same_error():
    trace = 'E: no\n\nTraceback (most recent call last):\n  File "{}", line {}, in f\n    g()'
    paths = ("/srv/2026-11-29/shop/tasks.py", "/srv/2026-11-30/shop/tasks.py")
    assert _print(trace.format(paths[0], 3)) == _print(trace.format(paths[1], 99))
    installed = "/srv/venv/lib/python3.11/site-packages/requests/api.py"
    assert own_frames(trace.format(installed, 3)) == []


@pytest.mark.parametrize(
    "text", ["", "\n\n", "x" * 100_000, "\udc80", "Traceback (most"]
)
def test_any_text_has_a_fingerprint(text):
    assert len(_print(text)) == DIGITS


@pytest.mark.parametrize("outcome", sorted(set(Outcome)))
def test_only_failures_have_one(outcome):
    result = Attempt.failed(outcome, "E: no").result(_task(), 1)
    failed = outcome in {"failure", "timeout", "crash"}
    assert (fingerprint_of(result) is not None) is failed
    assert row_of(result).is_dead is failed
    assert not row_of(msgspec.structs.replace(result, final=False)).is_dead


def test_priority_and_origin_are_kept_beside_the_options():
    task = _task(priority=-5, headers={"resent_from": "0" * 32, "trace": "of another"})
    row = row_of(Attempt.failed(Outcome.FAILURE, "E").result(task, 1))
    found = task_of(row)
    assert (found.priority, found.headers) == (-5, {"resent_from": "0" * 32})
    assert found.options == task.options
    assert row_of(Attempt.failed(Outcome.FAILURE, "E").result(_task(), 1)).options == ""
