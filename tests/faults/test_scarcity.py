"""A cluster whose host has no process or descriptor left for it."""

from __future__ import annotations

import itertools
import re
import resource
from pathlib import Path

import pytest
from faults.cgroup import control_group
from faults.place import Place

from qcore.tasks import async_task, result

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def here(database):
    place = Place(None, {})
    place.start()
    yield place
    place.close()


def lives_through(here, scarce, plenty):
    """Take a worker away while it cannot be replaced, and then let it be."""
    (cluster,) = here.started
    cluster.wait_for(cluster.is_complete)
    before = cluster.log.count("cannot fork: ")
    scarce()
    dead = cluster.kill_worker()
    cluster.wait_for(lambda: cluster.log.count("cannot fork: ") >= before + 2)
    first, second = re.findall(r"cannot fork: .*; trying again in (.*) s", cluster.log)[
        before : before + 2
    ]
    assert (first, second) == ("0.5", "1")
    assert len(cluster.workers) == 1
    ids = [async_task("chores.kind.add", n, 1, cluster=here.queue) for n in range(5)]
    assert [result(id, wait=20_000) for id in ids] == [1, 2, 3, 4, 5]
    plenty()
    cluster.wait_for(cluster.is_complete, what="the worker is replaced")
    assert dead not in cluster.workers
    assert "Traceback" not in cluster.log


@pytest.mark.fault("A16")
def test_a_sentinel_without_descriptors_goes_on_with_the_workers_it_has(here):
    cluster = here.started[0]
    used = {int(path.name) for path in Path(f"/proc/{cluster.sentinel}/fd").iterdir()}
    free = next(number for number in itertools.count() if number not in used)
    before = resource.prlimit(cluster.sentinel, resource.RLIMIT_NOFILE)

    def limit(soft):
        limits = (soft, before[1])
        resource.prlimit(cluster.sentinel, resource.RLIMIT_NOFILE, limits)

    lives_through(here, lambda: limit(free), lambda: limit(before[0]))


@pytest.mark.fault("A16")
def test_a_sentinel_that_may_not_fork_goes_on_with_the_workers_it_has(here):
    with control_group("pids") as group:

        def scarce():
            group.take(here.started[0].sentinel)
            group.limit(1)

        lives_through(here, scarce, lambda: group.limit(1000))
