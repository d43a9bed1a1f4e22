"""The main promises of the broker on further servers, and what doctor says of a pooler.

The whole contract on each of them is for ``noxfile.py -s certify``.
"""

from __future__ import annotations

import time
from contextlib import closing

import pytest

from qcore.testing.speed import begun_again_when_late, must_precede
from qcore_orm import diagnosis

SERVERS = ("postgres18", "pgbouncer")


class TestServers:
    stretch = 1.0

    @pytest.mark.parametrize("kind", SERVERS)
    @begun_again_when_late
    def test_the_main_promises(self, make_database, unblocked, kind):
        """Bulk, order, delay, leases, releases, counts, and waking."""
        with closing(make_database(kind).broker(retry=self.stretch)) as broker:
            the_main_promises(broker)


def the_main_promises(broker):
    broker.enqueue_many([b"%04d" % n for n in range(1500)])
    broker.enqueue(b"later", delay=0.5)
    claimed = time.monotonic()
    first = broker.dequeue(1000)
    assert [one.package for one in first] == [b"%04d" % n for n in range(1000)]
    broker.acknowledge_many([one.receipt for one in first])
    held = broker.dequeue(10)
    sizes = broker.queue_size(), broker.lock_size()
    lost = broker.extend([one.receipt for one in held])
    broker.release([one.receipt for one in held[:5]])
    must_precede(claimed + broker.lease)
    assert sizes == (491, 10)
    assert lost == set()
    left = {b"%04d" % n for n in range(1000, 1500)} | {b"later"}
    attempts = {}
    while left - attempts.keys():
        found = broker.dequeue(1000, wait=2)
        attempts = {one.package: one.attempt for one in found} | attempts
        broker.acknowledge_many([one.receipt for one in found])
    assert attempts.keys() == left
    assert {attempts[one.package] for one in held} == {2}
    assert (broker.queue_size(), broker.lock_size()) == (0, 0)


@pytest.mark.parametrize(
    ("kind", "is_there"), [("postgres", False), ("pgbouncer", True)]
)
def test_a_pooler_is_noted(make_database, unblocked, kind, is_there):
    with closing(make_database(kind).broker(retry=5)) as broker:
        facts = [found.fact for found in broker.diagnose()]
    noted = [fact for fact in facts if "PgBouncer" in fact]
    assert len(noted) == is_there


@pytest.mark.parametrize(("lease", "level"), [(5, "warning"), (60, "ok")])
def test_a_pause_that_outlives_a_lease_is_a_warning(lease, level):
    (found,) = diagnosis.pooler(is_there=True, poll=0.2, lease=lease)
    assert found.level == level
    assert "every 0.2 s" in found.fact
    assert diagnosis.pooler(is_there=False, poll=0.2, lease=lease) == []
