"""Several queues in one project: --name, Q_CLUSTER_NAME, cluster_name, ALT_CLUSTERS.

Each task runs where it was sent, so the cluster has accepted its signature: the queues
of a project share its identity.
"""

from __future__ import annotations

import pytest
from django.test import override_settings

from qcore.runtime import current
from qcore.tasks import async_task, fetch, queue_size, result

sentence = pytest.mark.sentence
option = pytest.mark.option

ALTERNATIVES = {
    "slow": {"timeout": 0.3, "workers": 1, "max_attempts": 1},
    "bulky": {"queue_limit": 1},
}


@option("cluster")
@option("queue")
@sentence(
    "ALT_CLUSTERS", "Settings that replace these where Q_CLUSTER_NAME selects them"
)
def test_a_name_on_the_command_line_selects_queue_and_settings(start):
    cluster = start(queue="slow", ALT_CLUSTERS=ALTERNATIVES, timeout=20, grace=0.2)
    assert len(cluster.workers) == 1
    for word in ("cluster", "queue"):
        task_id = async_task("chores.kind.doze", 20, q_options={word: "slow"})
        assert fetch(task_id, wait=60_000).outcome == "timeout"


@sentence("cluster_name", "The variable Q_CLUSTER_NAME overrides it.")
@sentence(
    "ALT_CLUSTERS", "Settings that replace these where Q_CLUSTER_NAME selects them"
)
def test_a_variable_selects_queue_and_settings(start):
    cluster = start(
        environ={"Q_CLUSTER_NAME": "slow"},
        cluster_name="of the settings",
        ALT_CLUSTERS=ALTERNATIVES,
        workers=1,
        grace=0.2,
    )
    task_id = async_task("chores.kind.doze", 20, cluster="slow")
    assert fetch(task_id, wait=60_000).outcome == "timeout"
    assert cluster.wait_for(lambda: cluster.snapshot).queue == "slow"


@sentence("cluster_name", "The queue that this process sends to and works on")
def test_a_setting_names_the_queue(start, settings):
    own = settings.Q_CLUSTER | {"cluster_name": "fixed"}
    with override_settings(Q_CLUSTER=own):
        cluster = start(workers=1)
        task_id = async_task("os.getpid")
        assert current.broker().queue == "fixed"
        assert result(task_id, wait=60_000) in cluster.workers
    assert fetch(task_id).cluster == "fixed"


def test_clusters_of_other_queues_leave_a_task_alone(start):
    start(queue="left", workers=1)
    start(queue="right", workers=1)
    waiting = async_task("os.getpid", cluster="nobody's")
    done = [async_task("os.getpid", cluster=queue) for queue in ("left", "right")]
    pids = [result(one, wait=60_000) for one in done]
    assert pids[0] != pids[1]
    assert fetch(waiting) is None
    assert queue_size(current.broker("nobody's")) == 1


@sentence("log_level", "Level of the log that `qcore cluster` writes to the terminal")
@pytest.mark.parametrize(
    ("level", "told"), [("DEBUG", True), ("INFO", True), ("WARNING", False)]
)
def test_the_level_of_the_log(start, level, told):
    queue = f"log-{level}"
    cluster = start(queue=queue, log_level=level, workers=1)
    task_id = async_task("chores.kind.echo", 1, cluster=queue)
    failing = async_task("chores.kind.fail", cluster=queue, ack_failure=True)
    assert fetch(failing, wait=60_000) is not None
    cluster.wait_for(lambda: failing in cluster.log, 5, "the failure is in the log")
    assert (f"id={task_id}" in cluster.log) is told
