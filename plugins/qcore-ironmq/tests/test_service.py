"""The service of the other tests refuses what the reference of the API says is refused.

A test server that took more than the real one would prove nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from qcore_ironmq.client import Client, Service


@pytest.fixture
def queue(options: dict[str, object]) -> Iterator[Any]:
    """A queue of the driver's own, which exists."""
    client = Client(options)
    client.reply_seconds = 40
    service = Service(client)
    name = f"service-{secrets.token_hex(6)}"
    service.create_queue(name)
    yield service.queue(name)
    service.queue(name).delete_queue()
    client.close()


def status(call: Any, *arguments: Any, **named: Any) -> int:
    with pytest.raises(requests.HTTPError) as raised:
        call(*arguments, **named)
    assert "msg" in raised.value.response.json()
    return raised.value.response.status_code


@pytest.mark.parametrize(
    "wrong",
    [
        {"max": 0},
        {"max": 101},
        {"timeout": 29},
        {"timeout": 86_401},
        {"wait": 31},
        {"wait": -1},
        {"timeout": 30.5},
    ],
)
def test_numbers_of_a_reservation(queue: Any, wrong: dict[str, Any]) -> None:
    assert status(queue.reserve, **wrong) == 400


def test_the_bounds_are_taken(queue: Any) -> None:
    assert queue.reserve(max=100, timeout=86_400, wait=1) == {"messages": []}
    assert queue.reserve(max=1, timeout=30) == {"messages": []}


def test_what_is_posted(queue: Any) -> None:
    assert status(queue.post, {"delay": 5}) == 400
    assert status(queue.post, {"body": "a", "delay": 604_801}) == 400
    told = queue.post("a", {"body": "b", "delay": 5})
    assert (len(told["ids"]), told["msg"]) == (2, "Messages put on queue.")
    info = queue.info()
    assert (info["size"], info["total_messages"]) == (2, 2)
    assert (info["message_timeout"], info["message_expiration"]) == (60, 604_800)


def test_a_queue_that_is_not_there(queue: Any, options: dict[str, object]) -> None:
    client = Client(options)
    client.reply_seconds = 10
    missing = Service(client).queue("none-" + secrets.token_hex(6))
    for call in (missing.info, missing.reserve, missing.clear, missing.delete_queue):
        assert status(call) == 404
    assert status(missing.delete, "1") == 404
    assert status(missing.touch, "1", "r") == 404
    client.close()


def test_what_is_reserved_needs_its_reservation(queue: Any) -> None:
    (id,) = queue.post("a")["ids"]
    (held,) = queue.reserve()["messages"]
    assert (held["id"], held["body"], held["reserved_count"]) == (id, "a", 1)
    assert status(queue.delete, id) == 403
    assert status(queue.delete, id, "another") == 403
    assert status(queue.release, id, "another") == 403
    assert queue.delete(id, held["reservation_id"]) == {"msg": "Deleted"}
    assert status(queue.delete, id, held["reservation_id"]) == 404


def test_a_touch_voids_the_reservation_before_it(queue: Any) -> None:
    (id,) = queue.post("a")["ids"]
    (held,) = queue.reserve()["messages"]
    old = held["reservation_id"]
    touched = queue.touch(id, old, 30)
    assert touched["msg"] == "Touched"
    new = touched["reservation_id"]
    assert status(queue.touch, id, old) == 403
    assert status(queue.delete, id, old) == 403
    assert status(queue.touch, id, new, 29) == 400
    assert queue.release(id, new) == {"msg": "Released"}
    assert status(queue.touch, id, new) == 403


def test_looking_reserves_nothing(queue: Any) -> None:
    ids = queue.post("a", "b")["ids"]
    (seen,) = queue.peek()["messages"]
    assert (seen["id"], seen["reserved_count"]) == (ids[0], 0)
    assert "reservation_id" not in seen
    assert queue.get_message_by_id(ids[1])["body"] == "b"
    assert len(queue.reserve(max=5)["messages"]) == 2
    assert queue.peek(max=5)["messages"] == []


def test_reserving_and_deleting_at_once(queue: Any) -> None:
    (id,) = queue.post("a")["ids"]
    assert len(queue.reserve(delete=True)["messages"]) == 1
    assert status(queue.get_message_by_id, id) == 404


def test_clearing_removes_what_is_reserved(queue: Any) -> None:
    queue.post("a", "b")
    (held,) = queue.reserve()["messages"]
    assert queue.clear() == {"msg": "Cleared"}
    assert status(queue.delete, held["id"], held["reservation_id"]) == 404
    assert queue.size() == 0


def test_a_hundred_deletions_and_no_more(queue: Any) -> None:
    ids = [id for _ in range(2) for id in queue.post(*["a"] * 51)["ids"]]
    assert status(queue.delete_multiple, ids=ids[:101]) == 400
    assert queue.delete_multiple(ids=ids[:100]) == {"msg": "Deleted"}
    assert queue.size() == 2
