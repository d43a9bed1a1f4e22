"""The tools that brokers share."""

from __future__ import annotations

import pytest

from qcore.brokers import tools


@pytest.mark.parametrize(
    ("found", "package"),
    [
        (b"bytes", b"bytes"),
        (memoryview(b"view"), b"view"),
        (bytearray(b"array"), b"array"),
        ("text", b"text"),
        ("half \ud83d of a character", b"half \xed\xa0\xbd of a character"),
        (None, b"None"),
        (17, b"17"),
        ({"task": ["mail"]}, b"{'task': ['mail']}"),
    ],
)
def test_whatever_is_found_becomes_bytes(found: object, package: bytes) -> None:
    assert tools.as_package(found) == package


@pytest.mark.parametrize(
    ("found", "attempt"),
    [
        (1, 1),
        ("3", 3),
        (b"3", 3),
        (2.0, 2),
        (0, 1),
        (-5, 1),
        (None, 1),
        ("", 1),
        ("three", 1),
        ("9" * 5000, 1),
        (float("nan"), 1),
        (float("inf"), 1),
        ([3], 1),
        (2**63, tools.MOST_ATTEMPTS),
    ],
)
def test_an_attempt_is_a_number_that_every_store_has_room_for(
    found: object, attempt: int
) -> None:
    assert tools.as_attempt(found) == attempt


def test_items_are_packed_by_count_and_by_size() -> None:
    items = ["a", "bb", "c" * 9, "d", "e", "f"]
    found = list(tools.pack(items, count=2, size=4))
    assert found == [["a", "bb"], ["c" * 9], ["d", "e"], ["f"]]
    doubled = tools.pack(items[:2], count=9, size=4, measure=lambda item: 2 * len(item))
    assert list(doubled) == [["a"], ["bb"]]
    assert list(tools.pack([], count=2, size=4)) == []


def test_ids_are_told_by_their_attempt() -> None:
    receipts = [(7, 1), (5, 2), (6, 1), (7, 1), (8, 1)]
    found = list(tools.by_attempt(receipts, 2))
    assert found == [(1, [7, 6]), (1, [8]), (2, [5])]


def test_a_reply_may_take_longer_where_more_is_sent() -> None:
    assert tools.reply_seconds(1.5, 0) == 1.5
    assert tools.reply_seconds(1.5, 10_000_000) == 11.5
