"""What is counted, and how it is told."""

from __future__ import annotations

import urllib.request

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from servers.base import free_port

import qcore_prometheus
from qcore.errors import BrokerUnavailable
from qcore.runtime import current
from qcore_prometheus import gauges
from qcore_prometheus.exporter import Exporter
from qcore_prometheus.functions import MOST, OTHER, Functions

QUEUE = "prometheus"


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def exporter(port):
    return Exporter(QUEUE, port=port, address="127.0.0.1")


@pytest.fixture
def counts(monkeypatch):
    """Decide what the broker counts: (waiting, claimed), the oldest."""

    def decide(sizes, oldest=None):
        broker = current.broker(QUEUE)
        monkeypatch.setattr(type(broker), "sizes", lambda self: sizes)
        monkeypatch.setattr(type(broker), "oldest_waiting", lambda self: oldest)

    return decide


ORDER = ("queue", "function", "outcome", "host", "cluster", "state", "le")


def told(exporter):
    """Return {(sample, values of its labels in the order above): value} of a scrape."""
    registry = CollectorRegistry()
    registry.register(exporter)
    text = generate_latest(registry).decode()
    return {
        (sample.name, *(sample.labels[x] for x in ORDER if x in sample.labels)): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_attempts_and_ends_are_counted_by_outcome(exporter, a_result):
    failed = {"outcome": "failure", "content": "text", "value": b"E: x"}
    exporter.tally.add([a_result(), a_result(), a_result(**failed, final=False)])
    exporter.tally.add([a_result("shop.tasks.mail", **failed, attempt=2)])
    found = told(exporter)
    add, mail = "shop.tasks.add", "shop.tasks.mail"
    assert found["qcore_attempts_total", QUEUE, add, "success"] == 2
    assert found["qcore_attempts_total", QUEUE, add, "failure"] == 1
    assert found["qcore_tasks_ended_total", QUEUE, add, "success"] == 2
    assert ("qcore_tasks_ended_total", QUEUE, add, "failure") not in found
    assert found["qcore_tasks_ended_total", QUEUE, mail, "failure"] == 1


def test_times_fall_into_buckets(exporter, a_result):
    exporter.tally.add([a_result(), a_result()])
    slow = a_result()
    exporter.tally.add(
        [a_result(stopped=slow.started + 7.0, started=slow.started, attempt=2)]
    )
    found = told(exporter)
    add = "shop.tasks.add"
    assert found["qcore_run_seconds_bucket", QUEUE, add, "0.1"] == 0
    assert found["qcore_run_seconds_bucket", QUEUE, add, "0.5"] == 2
    assert found["qcore_run_seconds_bucket", QUEUE, add, "30"] == 3
    assert found["qcore_run_seconds_bucket", QUEUE, add, "+Inf"] == 3
    assert found["qcore_run_seconds_count", QUEUE, add] == 3
    assert found["qcore_run_seconds_sum", QUEUE, add] == pytest.approx(7.4)
    # the second attempt began when its lease had ended, and says nothing of the queue
    assert found["qcore_wait_seconds_count", QUEUE] == 2
    assert found["qcore_wait_seconds_bucket", QUEUE, "1"] == 0
    assert found["qcore_wait_seconds_bucket", QUEUE, "5"] == 2


def test_a_clock_that_is_behind_gives_no_negative_time(exporter, a_result):
    one = a_result()
    exporter.tally.add([a_result(started=one.task.created - 5.0)])
    assert told(exporter)["qcore_wait_seconds_sum", QUEUE] == 0


def test_ten_thousand_names_make_a_hundred_labels(exporter, a_result):
    exporter.tally.add([a_result(f"shop.tasks.user_{n}") for n in range(10_000)])
    found = told(exporter)
    ended = {
        key[2]: n for key, n in found.items() if key[0] == "qcore_tasks_ended_total"
    }
    assert len(ended) == MOST + 1
    assert ended[OTHER] == 10_000 - MOST


def test_named_functions_alone_have_labels():
    functions = Functions(["shop.tasks.add"])
    assert functions.label("shop.tasks.add") == "shop.tasks.add"
    assert functions.label("shop.tasks.mail") == OTHER


def test_what_a_cluster_does(exporter, a_snapshot, counts):
    counts((10, 6), 12.5)
    exporter.snapshot = a_snapshot()
    found = told(exporter)
    where = (QUEUE, "web-1", "cccccccc")
    assert found["qcore_workers", *where, "busy"] == 1
    assert found["qcore_workers", *where, "idle"] == 1
    assert found["qcore_slots", *where] == 2
    assert found["qcore_claimed", *where] == 3
    assert found["qcore_recording", *where] == 1
    assert found["qcore_problem", *where] == 0
    assert found["qcore_worker_memory_bytes", *where] == 3000 * 1024
    assert found["qcore_restarts_total", *where] == 4
    assert found["qcore_quarantined_total", *where] == 5
    assert found["qcore_snapshot_time_seconds", *where] == 200
    assert found["qcore_queue_waiting", QUEUE] == 10
    assert found["qcore_queue_claimed", QUEUE] == 6
    assert found["qcore_queue_oldest_seconds", QUEUE] == 12.5
    assert found["qcore_queue_load", QUEUE] == (10 + 3 + 1) / 2


def test_what_is_not_known_is_left_out(exporter, a_snapshot, counts, monkeypatch):
    counts((None, None))
    workers = [w for w in a_snapshot().workers if w.state == "idle"]
    workers[0].rss = None
    exporter.snapshot = a_snapshot(problem="away", workers=workers)
    found = told(exporter)
    names = {key[0] for key in found}
    assert not names & {
        "qcore_queue_waiting", "qcore_queue_claimed", "qcore_queue_oldest_seconds",
        "qcore_queue_load", "qcore_worker_memory_bytes",
    }  # fmt: skip
    assert found["qcore_problem", QUEUE, "web-1", "cccccccc"] == 1

    def away(self):
        raise BrokerUnavailable("down")

    monkeypatch.setattr(type(current.broker(QUEUE)), "sizes", away)
    assert "qcore_queue_waiting" not in {key[0] for key in told(exporter)}


def test_before_the_first_snapshot_counters_alone_are_told(exporter):
    assert {key[0] for key in told(exporter)} == {
        "qcore_wait_seconds_bucket",
        "qcore_wait_seconds_count",
        "qcore_wait_seconds_sum",
    }


def test_other_queues_do_not_count_for_the_load(a_snapshot, counts):
    counts((10, 0))
    found = list(gauges.of_queue(QUEUE, [a_snapshot(queue="other")]))
    assert [family.name for family in found] == [
        "qcore_queue_waiting",
        "qcore_queue_claimed",
    ]


# -- in a dispatcher -----------------------------------------------------------------------
@pytest.fixture
def started(port, a_snapshot, a_result):
    options = {"prometheus": {"port": port}}
    conf = type("Conf", (), {"queue": QUEUE, "options": options})
    qcore_prometheus.qcore_process_started("dispatcher", conf)
    yield f"http://127.0.0.1:{port}/metrics"
    qcore_prometheus.qcore_process_stopping("dispatcher")


def test_a_dispatcher_serves_what_it_is_told(started, a_snapshot, a_result, counts):
    counts((1, 1))
    qcore_prometheus.qcore_results_recorded([a_result()])
    qcore_prometheus.qcore_snapshot_taken(a_snapshot())
    with urllib.request.urlopen(started, timeout=60) as answer:
        text = answer.read().decode()
    assert 'qcore_slots{cluster="cccccccc",host="web-1",queue="prometheus"} 2.0' in text
    assert "qcore_attempts_total" in text


def test_no_other_process_serves():
    conf = type("Conf", (), {"queue": QUEUE, "options": {"prometheus": {}}})
    for role in ("worker", "sentinel"):
        qcore_prometheus.qcore_process_started(role, conf)
    assert qcore_prometheus._running == {}
    without = type("Conf", (), {"queue": QUEUE, "options": {"prometheus": None}})
    qcore_prometheus.qcore_process_started("dispatcher", without)
    assert qcore_prometheus._running == {}


def test_a_port_that_is_taken_is_told_and_stops_nothing(started, caplog):
    port = int(started.split(":")[2].partition("/")[0])
    taken = dict(qcore_prometheus._running)
    qcore_prometheus._running.clear()
    options = {"prometheus": {"port": port}}
    conf = type("Conf", (), {"queue": QUEUE, "options": options})
    qcore_prometheus.qcore_process_started("dispatcher", conf)
    assert qcore_prometheus._running == {}
    assert f"no metrics: cannot listen on 127.0.0.1, port {port}" in caplog.text
    qcore_prometheus._running.update(taken)
