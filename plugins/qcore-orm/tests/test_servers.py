"""The main promises of the broker on further servers, and what doctor says of a pooler.

The whole contract on each of them is for ``noxfile.py -s certify``.
"""

from __future__ import annotations

from contextlib import closing

import pytest

from qcore_orm import diagnosis

SERVERS = ("postgres18", "pgbouncer")


@pytest.mark.parametrize("kind", SERVERS)
def test_the_main_promises(make_database, unblocked, kind):
    """Bulk, order, delay, leases, releases, counts, and waking."""
    database = make_database(kind)
    with closing(database.broker(retry=1)) as broker:
        broker.enqueue_many([b"%04d" % n for n in range(1500)])
        broker.enqueue(b"later", delay=0.5)
        first = broker.dequeue(1000)
        assert [one.package for one in first] == [b"%04d" % n for n in range(1000)]
        broker.acknowledge_many([one.receipt for one in first])
        held = broker.dequeue(10)
        assert (broker.queue_size(), broker.lock_size()) == (491, 10)
        assert broker.extend([one.receipt for one in held]) == set()
        broker.release([one.receipt for one in held[:5]])
        left = {b"%04d" % n for n in range(1000, 1500)} | {b"later"}
        attempts = {}
        while left - attempts.keys():
            found = broker.dequeue(1000, wait=2)
            attempts |= {one.package: one.attempt for one in found}
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
