"""What the broker makes of replies, good and bad, and of silence."""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from qcore.conf import Conf
from qcore.errors import BrokerError, BrokerUnavailable
from qcore.testing.speed import in_time
from qcore_ironmq.broker import IronMQBroker
from qcore_ironmq.receipt import Receipt

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

    from servers.ironmq_script import ScriptedIronMQ

SECRET = "s3cret-of-ironmq"
HTML = "<html>Bad gateway</html>"


# -- errors ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (401, {"msg": "Unauthorized"}, "refuses the token. Set 'token'"),
        (403, {"msg": "Forbidden"}, "Check 'project_id'"),
        (403, HTML, "Check 'project_id'"),
        (400, {"msg": "n is wrong"}, r"refused a call. It says: n is wrong \(400\)"),
        (405, ["no", "dictionary"], "refused a call. It says: nothing"),
        (413, {"msg": "Too large"}, "Set 'max_payload'"),
    ],
)
def test_what_will_not_go_away(
    script: ScriptedIronMQ, scripted: IronMQBroker, status: int, body: object, told: str
) -> None:
    script.say(status, body)
    with pytest.raises(BrokerError, match=told) as raised:
        scripted.ping()
    assert not isinstance(raised.value, BrokerUnavailable)
    assert "IronMQ at http://127.0.0.1:" in str(raised.value)
    assert SECRET not in str(raised.value)
    assert len(script.seen) == 1


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (429, {"msg": "Slow down"}, "is unavailable. It says: Slow down"),
        (500, HTML, "is unavailable. It says: nothing"),
        (504, "", "is unavailable"),
        (404, HTML, "is not of IronMQ"),
        (200, HTML, "is not of IronMQ"),
        (200, {"other": 1}, "is not of IronMQ"),
        (302, "", "is not of IronMQ"),
    ],
)
def test_what_may_go_away_is_tried_once(
    script: ScriptedIronMQ, scripted: IronMQBroker, status: int, body: object, told: str
) -> None:
    script.say(status, body, Location="/elsewhere")
    with pytest.raises(BrokerUnavailable, match=told):
        scripted.ping()
    assert len(script.seen) == 1


def test_a_reply_without_content_type(
    script: ScriptedIronMQ, scripted: IronMQBroker
) -> None:
    """The client itself raises KeyError for it."""
    script.say(200, "", content_type="")
    with pytest.raises(BrokerUnavailable, match="is not of IronMQ"):
        scripted.ping()


def test_fewer_ids_than_packages(
    script: ScriptedIronMQ, scripted: IronMQBroker
) -> None:
    script.say(200, {"queue": {}})
    script.say(201, {"ids": ["1"]})
    with pytest.raises(BrokerUnavailable, match="1 messages where 2 were sent"):
        scripted.enqueue_many([b"a", b"b"])


def test_a_project_that_is_not_there(
    script: ScriptedIronMQ, scripted: IronMQBroker
) -> None:
    for _ in range(2):
        script.say(404, {"msg": "Project not found"})
    with pytest.raises(BrokerError, match=r"Project not found. Check 'project_id'"):
        scripted.dequeue()


# -- trying again --------------------------------------------------------------------


def test_a_busy_service_is_asked_again(
    script: ScriptedIronMQ, scripted: IronMQBroker
) -> None:
    script.say(503, {"msg": "Busy"})
    script.say(503, HTML)
    started = time.monotonic()
    assert scripted.ping()
    assert len(script.seen) == 3
    assert in_time(time.monotonic() - started, 5), (
        "the client itself would wait for 15.5 s"
    )


def test_a_busy_service_is_given_up_soon(
    script: ScriptedIronMQ, scripted: IronMQBroker
) -> None:
    for _ in range(9):
        script.say(503, {"msg": "Busy"})
    with pytest.raises(BrokerUnavailable, match="Busy"):
        scripted.enqueue(b"a")
    assert len(script.seen) == 3


def test_what_may_have_been_done_is_not_repeated(
    script: ScriptedIronMQ, scripted: IronMQBroker
) -> None:
    """A package whose reply is lost would be stored twice."""
    script.say(200, {"queue": {}})
    script.hang_up()
    with pytest.raises(BrokerUnavailable, match="cannot be reached"):
        scripted.enqueue(b"a")
    assert [request.method for request in script.seen] == ["GET", "POST"]


def test_silence_is_noticed(script: ScriptedIronMQ, scripted: IronMQBroker) -> None:
    script.fall_silent()
    started = time.monotonic()
    with pytest.raises(BrokerUnavailable, match="does not answer in time"):
        scripted.enqueue(b"a")
    assert in_time(time.monotonic() - started, 5), (
        "the client itself would wait for ever"
    )


def test_an_interrupted_call_does_not_mix_up_replies(
    script: ScriptedIronMQ, scripted: IronMQBroker
) -> None:
    """A task's timeout may strike while its own enqueue waits for the reply."""

    class Struck(BaseException):
        pass

    def strike(number: int, frame: FrameType | None) -> None:
        raise Struck

    scripted.ping()
    before = signal.signal(signal.SIGALRM, strike)
    script.fall_silent()
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(Struck):
            scripted.ping()
    finally:
        signal.signal(signal.SIGALRM, before)
    # one of them is for the call that nobody waits for
    script.say(200, {"messages": []})
    script.say(200, {"messages": []})
    script.speak()
    assert scripted.dequeue() == []
    assert script.connections == 2, "a connection was used whose reply is to come"


# -- requests ------------------------------------------------------------------------


def test_one_connection_serves_many_calls(
    script: ScriptedIronMQ, scripted: IronMQBroker
) -> None:
    for _ in range(5):
        scripted.ping()
    assert (len(script.seen), script.connections) == (5, 1)
    scripted.close()
    scripted.ping()
    assert script.connections == 2


def test_the_numbers_of_a_claim(script: ScriptedIronMQ, scripted: IronMQBroker) -> None:
    """Whole seconds, within the bounds of the service."""
    script.say(200, {"messages": []})
    scripted.dequeue(limit=1000)
    script.say(200, {"messages": [_message(7)]})
    (found,) = scripted.dequeue(limit=3, wait=1.2)
    assert found.attempt == 7
    assert [request.body for request in script.seen] == [
        {"n": 100, "timeout": 60, "wait": 0},
        {"n": 3, "timeout": 60, "wait": 2},
    ]


def test_parts_of_a_second_are_rounded_up(
    script: ScriptedIronMQ, scripted: IronMQBroker
) -> None:
    script.say(200, {"queue": {}})
    script.say(201, {"ids": ["1"]})
    scripted.enqueue(b"a", delay=0.2)
    assert script.seen[-1].body["messages"] == [{"body": "YQ==", "delay": 1}]


def test_names_are_quoted(script: ScriptedIronMQ) -> None:
    broker = IronMQBroker(Conf.from_dict({"iron_mq": script.options}), "a/b ä?c#d%")
    broker.ping()
    broker.close()
    path = "/3/projects/p/queues/a%2Fb%20%C3%A4%3Fc%23d%25"
    assert [request.path for request in script.seen] == [path]


def test_a_netrc_is_not_used(
    script: ScriptedIronMQ,
    scripted: IronMQBroker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Requests would send what it finds there instead of the token."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login other password other\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    scripted.ping()
    assert script.seen[0].headers["Authorization"] == f"OAuth {SECRET}"


def test_a_renewal_whose_reply_is_lost(
    script: ScriptedIronMQ, scripted: IronMQBroker
) -> None:
    """It is unavailable, not lost: the next renewal tells."""
    receipt = Receipt("1", "old")
    script.hang_up()
    with pytest.raises(BrokerUnavailable):
        scripted.extend([receipt])
    assert not receipt.lock.locked()
    script.say(403, {"msg": "Reservation timed out"})
    assert scripted.extend([receipt]) == {receipt}


def test_an_acknowledgement_waits_for_a_renewal(script: ScriptedIronMQ) -> None:
    """Sent during it, it would name a reservation that is void when it arrives."""
    conf = Conf.from_dict({"iron_mq": script.options})
    keeper, recorder = IronMQBroker(conf, "shop"), IronMQBroker(conf, "shop")
    receipt = Receipt("1", "old")
    script.fall_silent()
    renewing = threading.Thread(target=keeper.extend, args=([receipt],))
    renewing.start()
    while not script.seen:
        time.sleep(0.01)
    ending = threading.Thread(target=recorder.acknowledge, args=(receipt,))
    ending.start()
    ending.join(0.3)  # time enough for what must not be sent yet
    sent_early = len(script.seen) > 1
    script.say(200, {"reservation_id": "new"})
    script.speak()
    renewing.join(60)
    ending.join(60)
    keeper.close()
    recorder.close()
    assert not sent_early
    assert script.seen[-1].body == {"ids": [{"id": "1", "reservation_id": "new"}]}


def test_a_refused_project_is_no_late_acknowledgement(
    script: ScriptedIronMQ, scripted: IronMQBroker
) -> None:
    script.say(403, {"msg": "Forbidden"})
    with pytest.raises(BrokerError, match="Check 'project_id'"):
        scripted.acknowledge(Receipt("1", "r"))


def test_what_is_no_base64_comes_as_it_is(
    script: ScriptedIronMQ, scripted: IronMQBroker
) -> None:
    """A stranger's message goes to quarantine; the others are not held up by it."""
    script.say(200, {"messages": [{**_message(1), "body": "hällo"}, _message(1)]})
    found = scripted.dequeue(limit=2)
    assert [delivery.package for delivery in found] == ["hällo".encode(), b"a"]


def _message(count: int) -> dict[str, object]:
    # the reference shows ids as numbers
    return {"id": 123, "body": "YQ==", "reserved_count": count, "reservation_id": "r"}
