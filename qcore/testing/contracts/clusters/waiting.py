"""Whether tasks of a live cluster wait as they are told."""

from __future__ import annotations

import time

from ....envelope import Outcome
from ....runtime import current
from ....tasks import async_task, cancel, fetch, pause, resume, status
from ....tasks.outgoing import can_delay
from ...ledger import Ledger
from .case import NAP, LiveCase, Start

_RETRY_ONCE = "qcore.testing.contracts.clusters.tasks.retry_once"
_SNOOZE_ONCE = "qcore.testing.contracts.clusters.tasks.snooze_once"
#: Seconds of a wait, and those that must pass at least: some services count whole seconds.
_WAIT, _LEAST = 2, 1.0
#: Seconds of a delay that few services can keep, and the outbox keeps for the others.
_MONTH = 30 * 86400
#: Seconds for which a paused queue is watched.
_WATCHED = 0.5


class WaitingTasks(LiveCase):
    """What a task waits for is kept by the broker or the ledger, whoever of them can."""

    def test_tasks_wait_as_they_are_told(
        self, start_cluster: Start, ledger: Ledger, project: object
    ) -> None:
        """A retried, snoozed or delayed task comes when it is due, one that is cancelled never.

        A queue that is paused begins nothing. It is one test, for it is one cluster.
        """
        cluster = start_cluster(retry=self.long_term)
        if not can_delay(current.broker(), _MONTH):
            far = async_task(NAP, "far", 0, "far", delay=_MONTH)
            assert status(far) == "scheduled", "the outbox has it"
            self._let_a_month_pass(far)
            assert self.wait_success(cluster, far).result == "far"
        retried = async_task(_RETRY_ONCE, "retried", _WAIT)
        snoozed = async_task(_SNOOZE_ONCE, "snoozed", _WAIT)
        sent = time.monotonic()
        delayed = async_task(NAP, "delayed", 0, "delayed", delay=_WAIT)
        for task_id, attempts in ((retried, 2), (snoozed, 1), (delayed, 1)):
            assert self.wait_success(cluster, task_id).attempt_count == attempts
        assert ledger.entries("delayed", "began")[0].at - sent >= _LEAST
        for key in ("retried", "snoozed"):
            first, second = ledger.entries(key, "began")
            assert second.at - first.at >= _LEAST, f"{key} came too early"

        queue = current.conf.queue
        pause(queue)
        cluster.wait_for(lambda: "is paused" in cluster.log, what="the cluster knows")
        held = async_task(NAP, "held", 0, "held")
        dropped = async_task(NAP, "dropped", 0, "dropped")
        assert cancel(dropped) == {dropped: "waiting"}
        time.sleep(_WATCHED)
        assert ledger.entries("held", "began") == [], "it began in a pause"
        resume(queue)
        # a claim that was under way as the pause began counts as an attempt
        assert self.wait_success(cluster, held).result == "held"
        ended = cluster.wait_for(lambda: fetch(dropped), what="the cancelled task ends")
        assert ended is not None
        assert ended.outcome == Outcome.CANCELLED
        assert ledger.entries("dropped", "began") == []
        self.wait_empty(cluster)

    def _let_a_month_pass(self, task_id: str) -> None:
        """Make a task due that the outbox has."""
        from django.apps import apps

        rows = apps.get_model("qcore", "OutboxRow")._default_manager
        assert rows.filter(task_id=task_id, due__gt=0).update(due=0) == 1
