"""A cache in Redis that closes the connection over which a result comes."""

from __future__ import annotations

import pytest
from django.test import override_settings
from faults.poison import REDIS
from servers.redis import RedisServer
from shared_fixtures import run_server

from qcore.runtime import current
from qcore.tasks import async_iter, async_task, fetch

pytestmark = pytest.mark.once

#: Bytes of two results that Redis takes one by one, and not as one list; and of one that
#: it does not take.
LARGE, TOO_LARGE = 700_000, 1_300_000


@pytest.fixture
def cached(on_redis):
    """Where results are in a cache that takes a megabyte."""
    for server in run_server("redis", lambda: RedisServer(*REDIS)):
        backend = "django.core.cache.backends.redis.RedisCache"
        caches = {"default": {"BACKEND": backend, "LOCATION": server.url()}}
        on_redis.django["CACHES"] = caches
        on_redis.settings["cached"] = True
        with override_settings(CACHES=caches):
            current.reset()
            yield on_redis


@pytest.mark.fault("E18")
def test_a_result_that_cuts_its_connection_stops_no_other(cached, ledger, key):
    """The driver says what it says of a server that is away; the server is there."""
    cluster = cached.start()
    sizes = [10] * 8 + [TOO_LARGE] + [10] * 8
    sent = [
        async_task("chores.mixed.bulky", f"{key} {n}", size, cluster=cached.queue)
        for n, size in enumerate(sizes)
    ]
    records = [fetch(task_id, wait=60_000) for task_id in sent]
    cluster.wait_idle()
    records = [fetch(task_id) for task_id in sent]
    assert [record.success for record in records] == [size == 10 for size in sizes]
    assert "the result cannot be stored" in records[8].result
    assert len(ledger.entries(f"{key} 8", "began")) == 1
    # told at its time
    cluster.wait_for(lambda: (s := cluster.snapshot) and s.problem is None)


@pytest.mark.fault("E18")
def test_a_list_that_cuts_its_connection_leaves_its_parts(cached, ledger, key):
    cluster = cached.start()
    calls = [(f"{key} {n}", LARGE) for n in range(2)]
    group = async_iter("chores.mixed.bulky", calls, cluster=cached.queue)
    joined = fetch(group, wait=60_000)
    cluster.wait_idle()
    assert not joined.success
    assert "2 results cannot be stored as one list" in joined.result
    assert len(ledger.entries(f"{key} 0", "began")) == 1
