"""A queue in five bands: priorities on a broker that knows none."""

from __future__ import annotations

import secrets
import sys
import types

import pytest
from django.test import override_settings

from qcore import Conf
from qcore.brokers.banded import SHARE, BandedBroker, banded
from qcore.brokers.bands import NAMES, band_of, queue_of
from qcore.brokers.memory import MemoryBroker
from qcore.conf.names import queue_fault
from qcore.doctor.services import bands as examine
from qcore.errors import BrokerUnavailable
from qcore.runtime import current
from qcore.tasks import async_task
from qcore.testing import BrokerContract


class PlainBroker(MemoryBroker):
    """One that knows no priorities, as most services."""

    supports_priority = False

    def enqueue_with_priority(self, packages, priority, *, delay=0):
        assert priority == 0, "it was asked for what it cannot"
        return super().enqueue_with_priority(packages, 0, delay=delay)


def make(queue=None, **settings):
    conf = Conf.from_dict(settings)
    return banded(conf, queue or conf.queue, lambda name: PlainBroker(conf, name))


class TestBanded(BrokerContract):
    """It keeps every promise of a broker, and that of priorities."""

    crosses_processes = False
    exact_priority = False
    lease = 0.5

    @pytest.fixture
    def make_broker(self):
        return make


@pytest.fixture
def broker():
    broker = make(f"bands-{secrets.token_hex(6)}")
    yield broker
    broker.delete_queue()


def packages(broker, limit=1):
    return [one.package for one in broker.dequeue(limit)]


def test_bands_are_five_and_symmetrical():
    found = [band_of(priority) for priority in range(-100, 101)]
    assert sorted(found, reverse=True) == found
    assert set(found) == set(range(5))
    assert [4 - band for band in reversed(found)] == found
    assert NAMES[band_of(0)] == "usual"


def test_each_band_is_a_queue_of_the_broker(broker):
    for priority in (100, 50, 0, -50, -100):
        broker.enqueue_with_priority([b"%d" % priority], priority)
    for band, priority in enumerate((100, 50, 0, -50, -100)):
        one = PlainBroker(broker.conf, queue_of(broker.queue, band))
        assert packages(one, 9) == [b"%d" % priority]
        assert queue_fault(one.queue) == ""
    assert broker.waiting() == dict.fromkeys(NAMES, 0)


def test_it_is_the_broker_that_it_is_made_of(broker):
    assert type(broker).__name__ == "PlainBroker"
    assert isinstance(broker, BandedBroker)
    on = broker.capabilities()
    assert on == PlainBroker.capabilities() | {"priority": True}


def test_a_broker_with_priorities_needs_no_bands():
    conf = Conf.from_dict({"bands": True})
    found = banded(conf, "q", lambda name: MemoryBroker(conf, name))
    assert type(found) is MemoryBroker


def test_the_lowest_has_its_share_of_claims(broker):
    broker.enqueue_with_priority([b"high"] * 200, 100)
    broker.enqueue_with_priority([b"low"] * 200, -50)
    came = [packages(broker)[0] for _ in range(100)]
    assert came[:SHARE] == [b"high"] * SHARE
    assert came.count(b"low") in (100 // SHARE - 1, 100 // SHARE)


@pytest.mark.parametrize("limit", [1, 3, 7, 50])
def test_a_claim_never_exceeds_its_limit(broker, limit):
    for priority in (100, 50, 0, -50, -100):
        broker.enqueue_with_priority([b"x"] * 30, priority)
    sizes = []
    while found := broker.dequeue(limit):
        sizes.append(len(found))
        broker.acknowledge_many([one.receipt for one in found])
    assert max(sizes) == min(limit, 50)
    assert sum(sizes) == 150


def test_switched_on_with_tasks_waiting(broker):
    """What was sent before is in the usual band; its receipts stay good."""
    plain = PlainBroker(broker.conf, broker.queue)
    (id,) = plain.enqueue_many([b"before"])
    plain.enqueue(b"gone")
    assert broker.delete(plain.enqueue(b"by its id"))
    (delivery,) = plain.dequeue(1)
    broker.acknowledge(delivery.receipt)
    assert not broker.delete(id)
    assert packages(broker, 5) == [b"gone"]


def test_switched_off_with_tasks_waiting(broker, monkeypatch):
    """They stay where they are, and the doctor says where that is."""
    broker.enqueue_with_priority([b"x"] * 3, 100)
    broker.enqueue_with_priority([b"y"], -50)
    assert [one.fact for one in examine(broker)] == [
        (
            f"queue {broker.queue}, waiting in its bands:"
            " highest 3, high 0, usual 0, low 1, lowest 0"
        )
    ]
    plain = PlainBroker(broker.conf, broker.queue)
    assert packages(plain, 9) == []

    class Choice:
        make = staticmethod(PlainBroker)

    monkeypatch.setattr(type(current), "choice", lambda self, kind: Choice)
    (found,) = examine(plain)
    assert found.level == "warning"
    assert "no cluster claims: 3 in highest, 1 in low" in found.fact
    assert "'bands'] to True" in found.advice
    assert sorted(packages(broker, 9)) == [b"x"] * 3 + [b"y"], "and on again"
    assert list(examine(plain)) == []


def test_one_band_that_fails_keeps_the_others_from_nobody(broker, monkeypatch):
    broker.enqueue_with_priority([b"high"], 100)

    def refuse(limit=1, wait=0):
        raise BrokerUnavailable("away")

    monkeypatch.setattr(broker._bands[3], "dequeue", refuse)
    assert packages(broker, 5) == [b"high"]
    with pytest.raises(BrokerUnavailable):
        broker.dequeue(5)


def test_the_setting_makes_the_bands(monkeypatch):
    module = types.ModuleType("banded_project")
    module.PlainBroker = PlainBroker
    monkeypatch.setitem(sys.modules, "banded_project", module)
    with override_settings(
        Q_CLUSTER={"broker_class": "banded_project.PlainBroker", "bands": True}
    ):
        own = current.broker("banded")
        own.purge_queue()
        async_task(
            "chores.kind.add", 1, q_options={"cluster": "banded", "priority": 100}
        )
        assert own.waiting()["highest"] == 1
        task = current.signer.verify(own.dequeue(1)[0].package, "banded")
        assert (task.queue, task.priority) == ("banded", 100), (
            "the queue stays the logical one"
        )
        own.purge_queue()
