"""A cluster whose host has no process or descriptor left for it."""

from __future__ import annotations

import itertools
import re
import resource
from pathlib import Path

import pytest
from chores.cluster_log import own_log
from faults.cgroup import control_group
from faults.place import Place

from qcore.tasks import async_task, fetch, result
from qcore.testing.speed import stretched

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
    cluster.wait_complete()
    before = len(pauses(cluster))
    scarce()
    dead = cluster.kill_worker()
    cluster.wait_for(lambda: len(pauses(cluster)) >= before + 2)
    assert pauses(cluster)[before : before + 2] == ["0.5", "1"]
    assert len(cluster.workers) == 1
    ids = [async_task("chores.kind.add", n, 1, cluster=here.queue) for n in range(5)]
    assert [result(id, wait=60_000) for id in ids] == [1, 2, 3, 4, 5]
    plenty()
    cluster.wait_complete()
    assert dead not in cluster.workers
    assert "Traceback" not in own_log(cluster.log)


def pauses(cluster):
    """Return the seconds between tries to fork, as the sentinel tells them."""
    return re.findall(r"cannot fork: .*; trying again in (.*) s\n", cluster.log)


class Descriptors:
    """Those that a process may have."""

    def __init__(self, pid):
        self._pid = pid
        self._soft, self._hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)

    def forbid(self):
        """Let it have no more than it has; a limit is the first number that is refused."""
        used = {int(path.name) for path in Path(f"/proc/{self._pid}/fd").iterdir()}
        self.limit(next(number for number in itertools.count() if number not in used))

    def allow(self):
        self.limit(self._soft)

    def limit(self, soft):
        resource.prlimit(self._pid, resource.RLIMIT_NOFILE, (soft, self._hard))


@pytest.mark.fault("A16")
def test_a_sentinel_without_descriptors_goes_on_with_the_workers_it_has(here):
    descriptors = Descriptors(here.started[0].sentinel)
    lives_through(here, descriptors.forbid, descriptors.allow)


@pytest.mark.fault("A16")
def test_a_dispatcher_without_descriptors_does_without_a_worker(here):
    (cluster,) = here.started
    cluster.wait_complete()
    dispatcher = cluster.dispatcher
    descriptors = Descriptors(dispatcher)
    descriptors.limit(3)  # not even what the dead worker leaves free
    cluster.kill_worker()
    cluster.wait_for(lambda: cluster.log.count("no descriptor is left for worker") >= 2)
    descriptors.allow()
    cluster.wait_complete()
    task_id = async_task("chores.kind.add", 1, 1, cluster=here.queue)
    assert result(task_id, wait=60_000) == 2
    assert cluster.dispatcher == dispatcher


@pytest.mark.fault("A16")
def test_a_sentinel_that_may_not_fork_goes_on_with_the_workers_it_has(here):
    with control_group("pids") as group:

        def scarce():
            group.take(here.started[0].sentinel)
            group.limit(1)

        lives_through(here, scarce, lambda: group.limit(1000))


@pytest.mark.fault("A16")
def test_a_sentinel_without_descriptors_kills_what_is_over_its_time(here):
    """To find what a worker has started it reads /proc, and cannot."""
    (cluster,) = here.started
    cluster.wait_complete()
    descriptors = Descriptors(cluster.sentinel)
    descriptors.forbid()
    sentinel = cluster.sentinel
    once = {"timeout": stretched(1.0), "ack_failure": True}
    id = async_task("chores.rude.swallow", 600.0, cluster=here.queue, **once)
    cluster.wait_for(lambda: "has left cannot be found" in cluster.log)
    cluster.wait_for(
        lambda: (row := fetch(id)) is not None and row.outcome == "timeout"
    )
    descriptors.allow()
    cluster.wait_complete()
    assert cluster.sentinel == sentinel
