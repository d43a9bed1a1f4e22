"""What a live cluster of the kit tells of its queue, without a cluster."""

from __future__ import annotations

import pytest

from qcore.runtime import current
from qcore.testing.cluster import LiveCluster


class Moving:
    """A broker whose only delivery moves between two counts; the last states stay."""

    def __init__(self, *states: str) -> None:
        self._states = list(states)
        self.asked = 0

    def _count(self, state: str) -> int:
        self.asked += 1
        found = self._states[0]
        if len(self._states) > 1:
            del self._states[0]
        return int(found == state)

    def queue_size(self) -> int:
        return self._count("waits")

    def sizes(self) -> tuple[int, int]:
        return 0, self._count("claimed")


@pytest.fixture
def cluster():
    made = LiveCluster(workers=1, retry=7)
    yield made
    made.close()


def test_a_lease_that_ends_between_two_counts_is_no_empty_queue(cluster, monkeypatch):
    broker = Moving("claimed", "waits", "waits", "claimed", "gone")
    monkeypatch.setattr(current, "broker", lambda queue: broker)
    cluster.wait_idle()
    assert broker.asked > 4


def test_an_idle_queue_is_waited_for_as_long_as_a_lease_may_take(cluster, monkeypatch):
    asked = []
    monkeypatch.setattr(
        LiveCluster, "wait_for", lambda self, question, *words: asked.append(words)
    )
    monkeypatch.setattr(current, "broker", lambda queue: Moving("gone"))
    cluster.wait_idle()
    cluster.wait_idle(3.0)
    assert [seconds for seconds, _ in asked] == [27.0, 3.0]
