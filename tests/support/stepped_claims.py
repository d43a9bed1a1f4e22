"""A cluster that claims and ends tasks one step after the other, in the process of a test."""

from __future__ import annotations

from django.db import transaction

from qcore import RUN, Claim, Drop, Settled
from qcore.features import Release, Run
from qcore.ledger.features import Features, tell
from qcore.ledger.relay import Relay
from qcore.runtime import current


class Cluster:
    """Claims and ends tasks as a cluster does, one step after the other."""

    def __init__(self):
        self.running = {}  # id -> the task and its start
        self.dropped = {}  # id -> a task that a plugin, or its ticket, has ended
        self.features = Features(
            current.registry.features, current.ledger, current.signer.sign
        )

    def claim(self, limit=100):
        """Send what is due and claim it; return the answers by the ids of the tasks."""
        relay = Relay(current.conf)
        while relay.tick() == 0:
            pass
        broker = current.broker()
        deliveries = broker.dequeue(limit)
        tasks = [current.signer.verify(one.package, broker.queue) for one in deliveries]
        if not tasks:
            return {}
        admitted = self.features.admit([Claim(task, 1, 0.0) for task in tasks])
        found = {}
        for task, (answer, ticket), delivery in zip(
            tasks, admitted, deliveries, strict=True
        ):
            if isinstance(answer, Run):
                answer = RUN  # noqa: PLW2901 - whether it holds something is asked for once
            found[task.id] = answer
            if answer is RUN:
                self.running[task.id] = task, ticket.starts
            if isinstance(answer, Drop):
                self.dropped[task.id] = task
            if isinstance(answer, Release):
                broker.release([delivery.receipt], delay=answer.after)
            else:
                broker.acknowledge(delivery.receipt)
        return found

    def end(self, *ids, outcome="success", final=True, unstarted=False):
        ended = [
            Settled(
                task=task,
                outcome=outcome,
                final=final,
                start=start,
                unstarted=unstarted,
            )
            for task, start in map(self.running.pop, ids)
        ]
        with transaction.atomic():
            tell(current.registry.features, ended)
