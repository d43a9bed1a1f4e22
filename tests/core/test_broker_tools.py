"""The tools that brokers share."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from qcore.brokers import tools
from qcore.brokers.addresses import Address, read_address
from qcore.brokers.memory import MemoryBroker
from qcore.brokers.pauses import Pauses
from qcore.conf import Conf
from qcore.errors import BrokerUnavailable, Unsupported


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


@pytest.mark.parametrize(
    ("lease", "options", "seconds"),
    [
        (20, {}, 10),
        (1, {}, 2),
        (600, {}, 15),
        (12, {"share": 0.25}, 3),
        (600, {"longest": 10}, 10),
    ],
)
def test_a_cluster_waits_for_a_part_of_its_lease(
    lease: float, options: dict[str, float], seconds: float
) -> None:
    assert tools.cluster_reply_seconds(lease, **options) == seconds


@pytest.mark.parametrize(
    ("wanted", "lease", "seconds"),
    [(5, 60, 5), (60, 600, 20), (60, 7, 3), (60, 0.5, 1), (0, 60, 0)],
)
def test_a_long_poll_ends_within_half_a_lease(
    wanted: int, lease: float, seconds: int
) -> None:
    assert tools.long_poll_seconds(wanted, lease, 20) == seconds


@pytest.mark.parametrize("failures", [0, 1, 2])
def test_a_call_that_was_not_done_is_tried_again(
    failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(tools, "time", SimpleNamespace(sleep=pauses.append))
    answers = [BrokerUnavailable("busy")] * failures + ["done"]

    def work() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    assert tools.try_again(work, BrokerUnavailable) == "done"
    assert pauses == list(tools.RETRY_PAUSES)[:failures]


def test_the_third_failure_is_raised_and_another_error_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(tools, "time", SimpleNamespace(sleep=pauses.append))

    def busy() -> None:
        raise BrokerUnavailable("busy")

    with pytest.raises(BrokerUnavailable):
        tools.try_again(busy, BrokerUnavailable)
    assert pauses == list(tools.RETRY_PAUSES)
    with pytest.raises(BrokerUnavailable):
        tools.try_again(busy, Unsupported)
    assert pauses == list(tools.RETRY_PAUSES)


def test_a_delay_that_the_service_refuses_names_the_limit() -> None:
    error = tools.too_long(MemoryBroker(Conf()), "delay a package", 1234.5, 900)
    assert isinstance(error, Unsupported)
    assert str(error) == (
        "MemoryBroker cannot delay a package for 1,234 s: the limit of MemoryBroker is"
        " 900 s. Use a schedule for a later time."
    )


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 255, 256])
def test_a_package_travels_as_a_text(size: int) -> None:
    package = bytes(range(256))[:size]
    text = tools.to_base64(package)
    assert tools.from_base64(text) == package
    assert tools.base64_bytes(size) == len(text)
    # the largest package whose text has so many bytes, and one byte more has not
    room = tools.base64_room(len(text))
    assert len(tools.to_base64(b"x" * room)) <= len(text)
    assert len(tools.to_base64(b"x" * (room + 1))) > len(text)


@pytest.mark.parametrize(
    ("found", "package"),
    [
        ("not base64!", b"not base64!"),
        ("\xe4", b"\xc3\xa4"),
        (None, b"None"),
        (7, b"7"),
    ],
)
def test_a_malformed_text_is_handed_out_as_it_is(found: object, package: bytes) -> None:
    assert tools.from_base64(found) == package


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("h", ("h", 7)),
        (" h:1 ", ("h", 1)),
        ("10.0.0.1:65535", ("10.0.0.1", 65_535)),
        ("[::1]", ("::1", 7)),
        ("[::1]:2", ("::1", 2)),
    ],
)
def test_an_address_is_read(text: str, address: tuple[str, int]) -> None:
    found = read_address(text, 7)
    assert found == Address(*address)
    assert read_address(str(found), 9) == found


@pytest.mark.parametrize(
    "text", ["", "h:port", "h:0", "h:65536", "h:123456", "::1", "redis://h:1", "u@h:1"]
)
def test_a_text_that_is_no_address_is_none(text: str) -> None:
    assert read_address(text, 7) is None


def test_pauses_grow_to_the_longest_and_begin_anew() -> None:
    pauses = Pauses(1, 2, 5)
    assert [pauses.next() for _ in range(5)] == [1, 2, 4, 5, 5]
    pauses.reset()
    assert [pauses.next() for _ in range(2)] == [1, 2]
    assert Pauses(1, 2, 0.5).next() == 0.5
