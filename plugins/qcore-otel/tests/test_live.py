"""The spans of a cluster's workers, which export them before they end."""

from __future__ import annotations

import pytest
from chores.ledger import wait_for
from django.conf import settings

from qcore.tasks import async_chain, fetch_group, result_group

pytestmark = [pytest.mark.live, pytest.mark.once]


def test_workers_that_end_have_exported_their_spans(start, ledger, tracer, ended):
    installed = [*settings.INSTALLED_APPS, "chores.traced.Traced"]
    cluster = start(queue="traced", workers=1, django={"INSTALLED_APPS": installed})
    links = [("chores.kind.add", (1, 2)), ("chores.kind.echo", (3,))]
    group = async_chain(links, cluster="traced")
    assert result_group(group, wait=60_000, count=2) == [3, 3]
    assert len(fetch_group(group)) == 2
    cluster.stop()
    (sent,) = ended("send")  # in this process
    sender = f"{sent.context.span_id:016x}"

    def runs():
        names = [entry.event for entry in ledger.entries("traced")]
        return [name for name in names if name.startswith("process ")]

    found = wait_for(lambda: runs()[1:] and runs(), 60)
    assert found[0] == f"process chores.kind.add {sender}"
    assert found[1].startswith("process chores.kind.echo ")
    assert sender not in found[1], "the second link was sent by a worker"
