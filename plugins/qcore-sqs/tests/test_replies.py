"""What AWS answers and emulators do not: throttling, half-done batches, refusals."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable, Iterator

import pytest
from servers.sqs_script import Reply, Request, ScriptedSQS, all_done, error

from qcore.errors import BrokerError, BrokerUnavailable
from qcore.testing.speed import in_time
from qcore_sqs.broker import SQSBroker
from qcore_sqs.receipt import Receipt

Open = Callable[..., SQSBroker]


@pytest.fixture
def sqs() -> Iterator[ScriptedSQS]:
    with ScriptedSQS() as server:
        yield server


@pytest.fixture
def broker(sqs: ScriptedSQS, open_broker: Open) -> SQSBroker:
    return open_broker(sqs.url)


def receipts(count: int) -> list[Receipt]:
    return [Receipt(f"handle-{n}", time.monotonic() + 60) for n in range(count)]


def half_done(code: str, *, fault: bool) -> Callable[[Request], Reply]:
    """The second half of a batch fails."""

    def reply(request: Request) -> Reply:
        entries = request["Entries"]
        half = len(entries) // 2
        done = [
            {"Id": e["Id"], "MessageId": f"first {e['Id']}"} for e in entries[:half]
        ]
        told = {"SenderFault": fault, "Code": code, "Message": "not this one"}
        failed = [{"Id": e["Id"], **told} for e in entries[half:]]
        return 200, {"Successful": done, "Failed": failed}

    return reply


# -- sending -------------------------------------------------------------------------


def test_entries_that_failed_are_sent_again_and_only_they(
    sqs: ScriptedSQS, broker: SQSBroker
) -> None:
    sqs.script("SendMessageBatch", half_done("InternalError", fault=False))
    packages = [b"a", b"b", b"c", b"d"]
    ids = broker.enqueue_many(packages)
    texts = [b64encode(package).decode() for package in packages]
    assert ids == ["first 0", "first 1", f"id of {texts[2]}", f"id of {texts[3]}"]
    again = sqs.seen["SendMessageBatch"][1]["Entries"]
    assert [entry["MessageBody"] for entry in again] == texts[2:]


def test_entries_that_keep_failing_are_told(
    sqs: ScriptedSQS, broker: SQSBroker
) -> None:
    failing = half_done("InternalError", fault=False)
    sqs.script("SendMessageBatch", failing, failing, failing)
    told = r"has not done 1 of 4 entries .* InternalError: not this one\. Try again"
    with pytest.raises(BrokerUnavailable, match=told):
        broker.enqueue_many([b"a", b"b", b"c", b"d"])


def test_a_refused_entry_is_no_unavailability(
    sqs: ScriptedSQS, broker: SQSBroker
) -> None:
    sqs.script("SendMessageBatch", half_done("InvalidMessageContents", fault=True))
    with pytest.raises(BrokerError, match="InvalidMessageContents") as raised:
        broker.enqueue_many([b"a", b"b"])
    assert not isinstance(raised.value, BrokerUnavailable)


def test_entries_without_a_word_are_not_taken_for_stored(
    sqs: ScriptedSQS, broker: SQSBroker
) -> None:
    sqs.always("SendMessageBatch", (200, {}))
    with pytest.raises(BrokerUnavailable, match="no word of some entries"):
        broker.enqueue(b"a")


@pytest.mark.parametrize("code", ["RequestThrottled", "ThrottlingException"])
def test_throttled_calls_are_made_again(
    sqs: ScriptedSQS, broker: SQSBroker, code: str
) -> None:
    sqs.script("SendMessageBatch", error(code), error(code))
    assert broker.enqueue(b"a")
    assert len(sqs.seen["SendMessageBatch"]) == 3


def test_throttling_that_lasts_is_told_in_time(
    sqs: ScriptedSQS, broker: SQSBroker
) -> None:
    """A web request learns within two seconds."""
    sqs.always("SendMessageBatch", error("ThrottlingException", "Rate exceeded"))
    broker.queue_size()  # connected before the clock runs
    started = time.monotonic()
    with pytest.raises(BrokerUnavailable, match=r"too many calls .* Try again later"):
        broker.enqueue(b"a")
    assert in_time(time.monotonic() - started, 2)


@pytest.mark.parametrize("status", [500, 503])
def test_what_may_have_been_done_is_not_done_again(
    sqs: ScriptedSQS, broker: SQSBroker, status: int
) -> None:
    """The driver's own retries would store a task twice."""
    sqs.script("SendMessageBatch", error("InternalError", status=status))
    with pytest.raises(BrokerUnavailable, match="has failed"):
        broker.enqueue(b"a")
    assert len(sqs.seen["SendMessageBatch"]) == 1


def test_batches_are_split_by_bytes(sqs: ScriptedSQS, broker: SQSBroker) -> None:
    size = 300_000  # 400,000 in base64: two in 1 MiB
    broker.enqueue_many([b"x" * size] * 5)
    counts = [len(request["Entries"]) for request in sqs.seen["SendMessageBatch"]]
    assert counts == [2, 2, 1]


def test_an_old_service_keeps_its_256_kB(sqs: ScriptedSQS, broker: SQSBroker) -> None:
    attributes = {"MaximumMessageSize": "262144"}
    sqs.always("GetQueueAttributes", (200, {"Attributes": attributes}))
    broker.enqueue_many([b"x" * 90_000] * 5)  # 120,000 in base64: two in 256 kB
    counts = [len(request["Entries"]) for request in sqs.seen["SendMessageBatch"]]
    assert counts == [2, 2, 1]
    assert broker.max_payload == 196_608


def test_a_policy_that_hides_the_attributes(
    sqs: ScriptedSQS, broker: SQSBroker
) -> None:
    sqs.always("GetQueueAttributes", error("AccessDenied", status=403))
    broker.enqueue(b"a")
    assert broker.max_payload == 196_608


# -- receipts -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code", ["ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue"]
)
def test_too_late_is_lost_and_no_failure(
    sqs: ScriptedSQS, broker: SQSBroker, code: str
) -> None:
    late = half_done(code, fault=True)
    held = receipts(2)
    sqs.script("ChangeMessageVisibilityBatch", late, late)
    sqs.script("DeleteMessageBatch", late)
    assert broker.extend(held) == {held[1]}
    broker.release(held)
    broker.acknowledge_many(held)


def test_acknowledgements_that_failed_are_sent_again(
    sqs: ScriptedSQS, broker: SQSBroker
) -> None:
    sqs.script("DeleteMessageBatch", half_done("ServiceUnavailable", fault=False))
    broker.acknowledge_many(receipts(10))
    asked = sqs.seen["DeleteMessageBatch"]
    assert [len(request["Entries"]) for request in asked] == [10, 5]


def test_acknowledgements_that_keep_failing_are_told(
    sqs: ScriptedSQS, broker: SQSBroker
) -> None:
    sqs.always("DeleteMessageBatch", half_done("InternalError", fault=False))
    with pytest.raises(BrokerUnavailable, match="InternalError"):
        broker.acknowledge_many(receipts(3))


def test_an_expired_receipt_is_not_sent(sqs: ScriptedSQS, broker: SQSBroker) -> None:
    """A service that takes it would change the lease of whoever holds it now."""
    stale = Receipt("stale", time.monotonic() - 0.001)
    held = Receipt("held", time.monotonic() + 60)
    assert broker.extend([stale, held]) == {stale}
    broker.release([stale, held])
    for request in sqs.seen["ChangeMessageVisibilityBatch"]:
        assert [entry["ReceiptHandle"] for entry in request["Entries"]] == ["held"]
    assert broker.extend([held]) == {held}, "what was given back is no longer ours"


def test_a_lease_counts_in_whole_seconds(sqs: ScriptedSQS, open_broker: Open) -> None:
    broker = open_broker(sqs.url, retry=2.2)
    broker.dequeue()
    broker.enqueue(b"a", delay=0.1)
    broker.release(receipts(1), delay=1.5)
    assert sqs.seen["ReceiveMessage"][0]["VisibilityTimeout"] == 3
    assert sqs.seen["SendMessageBatch"][0]["Entries"][0]["DelaySeconds"] == 1
    (request,) = sqs.seen["ChangeMessageVisibilityBatch"]
    assert request["Entries"][0]["VisibilityTimeout"] == 2


# -- receiving ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "retry", "wait", "asked"),
    [
        (None, 60, 0, [0]),
        (None, 60, 1.0, [1]),
        (20, 60, 1.0, [20]),
        (20, 60, 0, [0]),
        (20, 4, 1.0, [2]),  # half a lease
        (None, 60, 0.4, [0, 0]),  # before and after a pause
    ],
)
def test_long_polls(
    sqs: ScriptedSQS,
    open_broker: Open,
    setting: int | None,
    retry: float,
    wait: float,
    asked: list[int],
) -> None:
    options = {"receive_message_wait_time_seconds": setting}
    broker = open_broker(sqs.url, sqs=options, retry=retry)
    broker.dequeue()  # connects before the clock runs
    sqs.seen.clear()
    message = {"MessageId": "m", "ReceiptHandle": "r", "Body": "YQ=="}
    replies: list[Reply] = [(200, {})] * (len(asked) - 1)
    sqs.script("ReceiveMessage", *replies, (200, {"Messages": [message]}))
    (delivery,) = broker.dequeue(limit=50, wait=wait)
    assert (delivery.package, delivery.attempt) == (b"a", 1)
    polls = sqs.seen["ReceiveMessage"]
    assert [request["WaitTimeSeconds"] for request in polls] == asked
    assert {request["MaxNumberOfMessages"] for request in polls} == {10}


def test_a_service_that_does_not_wait_is_not_asked_all_the_time(
    sqs: ScriptedSQS, broker: SQSBroker
) -> None:
    started = time.monotonic()
    assert broker.dequeue(wait=1.0) == []
    assert time.monotonic() - started >= 1
    assert len(sqs.seen["ReceiveMessage"]) <= 2


def test_a_foreign_message_is_left_to_the_quarantine(
    sqs: ScriptedSQS, broker: SQSBroker
) -> None:
    message = {"MessageId": "m", "ReceiptHandle": "r", "Body": "{'no': 'base64'}"}
    sqs.script("ReceiveMessage", (200, {"Messages": [message]}))
    (delivery,) = broker.dequeue()
    assert delivery.package == b"{'no': 'base64'}"


# -- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("InvalidClientTokenId", "does not accept the credentials. Check"),
        ("UnrecognizedClientException", "does not accept the credentials. Check"),
        ("SignatureDoesNotMatch", "the clock of this host"),
        ("ExpiredTokenException", "Set a new 'aws_session_token'"),
        ("AccessDeniedException", "Its policy must allow sqs:GetQueueUrl"),
        ("KmsAccessDenied", "use of the queue's key"),
        ("SomethingNew", "refused a call"),
    ],
)
def test_refusals_last_and_say_what_to_do(
    sqs: ScriptedSQS, broker: SQSBroker, code: str, told: str
) -> None:
    sqs.always("GetQueueUrl", error(code, status=403))
    for call in (broker.ping, broker.dequeue, lambda: broker.enqueue(b"a")):
        with pytest.raises(BrokerError, match=told) as raised:
            call()
        assert not isinstance(raised.value, BrokerUnavailable)
        assert len(str(raised.value).splitlines()) == 1
        assert "s3cret" not in f"{raised.value}{raised.value.__cause__}"


@pytest.mark.parametrize(
    ("operation", "code", "call"),
    [
        ("PurgeQueue", "PurgeQueueInProgress", SQSBroker.purge_queue),
        ("CreateQueue", "QueueDeletedRecently", SQSBroker.dequeue),
        ("ReceiveMessage", "OverLimit", SQSBroker.dequeue),
    ],
)
def test_what_passes_is_unavailability(
    sqs: ScriptedSQS,
    broker: SQSBroker,
    operation: str,
    code: str,
    call: Callable[[SQSBroker], object],
) -> None:
    if operation == "CreateQueue":
        sqs.always("GetQueueUrl", error("QueueDoesNotExist"))
    sqs.always(operation, error(code))
    with pytest.raises(BrokerUnavailable, match=code):
        call(broker)


def test_two_clusters_make_the_queue_at_once(
    sqs: ScriptedSQS, broker: SQSBroker
) -> None:
    """With other attributes, by another release; the slower one takes it as it is."""
    sqs.script("GetQueueUrl", error("QueueDoesNotExist"))
    sqs.script("CreateQueue", error("QueueNameExists"))
    assert broker.enqueue(b"a")


def test_an_address_of_something_else(sqs: ScriptedSQS, broker: SQSBroker) -> None:
    sqs.always("GetQueueUrl", (200, b"<html>It works!</html>"))
    with pytest.raises(BrokerError, match="Check 'endpoint_url'"):
        broker.enqueue(b"a")


def test_no_credentials(sqs: ScriptedSQS, open_broker: Open) -> None:
    broker = open_broker(
        sqs.url, sqs={"aws_access_key_id": None, "aws_secret_access_key": None}
    )
    with pytest.raises(BrokerError, match="Set 'aws_access_key_id'"):
        broker.ping()


def test_batches_are_sent_whole_when_all_goes_well(
    sqs: ScriptedSQS, broker: SQSBroker
) -> None:
    sqs.always("ChangeMessageVisibilityBatch", all_done)
    held = receipts(25)
    assert broker.extend(held) == set()
    broker.acknowledge_many([*held, *held])
    for operation in ("ChangeMessageVisibilityBatch", "DeleteMessageBatch"):
        sizes = [len(request["Entries"]) for request in sqs.seen[operation]]
        assert sizes == [10, 10, 5]


# -- attempts --------------------------------------------------------------------------


def message(number: int, **attributes: str) -> dict[str, object]:
    body = b64encode(b"%d" % number).decode()
    told = {"MessageId": f"m{number}", "ReceiptHandle": f"h{number}", "Body": body}
    return {**told, "Attributes": attributes} if attributes else told


def test_attempts_are_asked_for_by_both_names(
    sqs: ScriptedSQS, broker: SQSBroker
) -> None:
    """Services that speak as SQS may know only the older one."""

    def older(request: Request) -> Reply:
        assert request["MessageSystemAttributeNames"] == request["AttributeNames"]
        counts = dict.fromkeys(request["AttributeNames"], "3")
        return 200, {"Messages": [message(1, **counts)]}

    sqs.script("ReceiveMessage", older)
    assert [one.attempt for one in broker.dequeue()] == [3]


def test_attempts_that_are_not_told_are_complained_of_once(
    sqs: ScriptedSQS, broker: SQSBroker, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        messages = [message(number), message(number + 10, ApproximateReceiveCount="x")]
        sqs.script("ReceiveMessage", (200, {"Messages": messages}))
        assert [one.attempt for one in broker.dequeue(2)] == [1, 1]
    assert caplog.text.count("'max_attempts'") == 1


def test_a_message_without_a_receipt_is_passed_over(
    sqs: ScriptedSQS, broker: SQSBroker
) -> None:
    """Nothing could be done with it, and the others are not to blame."""
    lacking = {"MessageId": "m", "Body": "AA=="}
    sqs.script("ReceiveMessage", (200, {"Messages": [lacking, message(1)]}))
    assert [one.package for one in broker.dequeue(2)] == [b"1"]


@pytest.mark.fault("D19")
def test_a_batch_of_which_a_part_is_refused_says_that_it_is_not_known(
    sqs: ScriptedSQS, broker: SQSBroker
) -> None:
    sqs.script("SendMessageBatch", all_stored, half_done("InvalidMessage", fault=True))
    with pytest.raises(BrokerError, match="refused an entry") as raised:
        broker.enqueue_many([b"%d" % n for n in range(25)])
    assert (raised.value.stored, raised.value.unsure) == (10, 10)


def all_stored(request: Request) -> Reply:
    return all_done(request, MessageId="stored")
