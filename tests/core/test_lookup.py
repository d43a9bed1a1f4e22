"""Lookups with odd arguments: an error that names them, or nothing found."""

from __future__ import annotations

import math
import uuid

import pytest

from qcore.errors import CallError, EnqueueError
from qcore.tasks import (
    count_group,
    delete,
    delete_group,
    fetch,
    fetch_group,
    queue_size,
    result,
    result_group,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("qcore_queue")]

ONE = [fetch, result, delete]
GROUP = [fetch_group, result_group, count_group, delete_group]


@pytest.mark.parametrize("text", ["", "\0", "a\0b", "\ud800", "x" * 5000, "🐍'\"%"])
@pytest.mark.parametrize("cached", [False, True], ids=["database", "cache"])
def test_a_text_that_nothing_is_called(text, cached):
    for call in (*ONE, *GROUP):
        assert not call(text, cached=cached)


@pytest.mark.parametrize("text", ["\0", "\ud800"])
def test_nobody_waits_for_what_cannot_come(text):
    assert fetch(text, wait=-1) is None
    assert fetch_group(text, wait=-1, count=1) == []


@pytest.mark.parametrize("key", [None, 5, b"id", uuid.UUID(int=7), ["id"], object()])
@pytest.mark.parametrize("call", [*ONE, *GROUP])
def test_what_is_no_text(call, key):
    with pytest.raises(
        CallError, match=r"the (id or name|label) of a .* expected a text"
    ):
        call(key)


@pytest.mark.parametrize("wait", ["x", None, math.nan, math.inf, -2, True, 10**400, []])
def test_what_is_no_time_to_wait(wait):
    for call in (fetch, result, fetch_group, result_group):
        with pytest.raises(CallError, match=r"wait is .*, expected milliseconds"):
            call("nobody", wait=wait)
    with pytest.raises(CallError, match="wait is"):
        fetch("\0", wait=wait)


@pytest.mark.parametrize("count", ["x", -1, 1.5, True, math.nan])
def test_what_is_no_count(count):
    with pytest.raises(CallError, match=r"count is .*, expected how many"):
        fetch_group("nobody", count=count)


@pytest.mark.parametrize("cached", ["yes", b"", [], object()])
def test_what_chooses_no_store(cached):
    for call in (*ONE, *GROUP):
        with pytest.raises(
            CallError, match=r"cached is .*, expected True for the cache"
        ):
            call("nobody", cached=cached)


def test_a_wait_of_a_fraction_and_of_nothing():
    assert fetch("nobody", wait=0.5) is None
    assert fetch_group("nobody", wait=10, count=0) == []


def test_the_size_of_what_is_no_queue():
    with pytest.raises(EnqueueError, match="option 'broker' is 'redis'"):
        queue_size("redis")
