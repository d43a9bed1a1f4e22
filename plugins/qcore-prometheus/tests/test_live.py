"""A cluster that runs tasks exports what became of them."""

from __future__ import annotations

import urllib.request

import pytest
from chores.ledger import wait_for
from servers.base import free_port

from qcore.tasks import async_task, result

pytestmark = [pytest.mark.live, pytest.mark.once]


def test_a_cluster_exports_its_metrics(start, key):
    port = free_port()
    start(queue="measured", prometheus={"port": port})
    task_id = async_task("chores.kind.nap", key, 0, cluster="measured")
    assert result(task_id, wait=60_000) == key

    def scraped():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            return answer.read().decode().splitlines()

    ended = 'function="chores.kind.nap",outcome="success",queue="measured"} 1.0'
    wait_for(lambda: f"qcore_tasks_ended_total{{{ended}" in scraped(), 60)
    wait_for(lambda: 'qcore_queue_waiting{queue="measured"} 0.0' in scraped(), 60)

    def slots():
        lines = [line for line in scraped() if line.startswith("qcore_slots{")]
        return [line.rpartition(" ")[2] for line in lines]

    # the first snapshot may be of a cluster without workers
    wait_for(lambda: slots() == ["2.0"], 60)
