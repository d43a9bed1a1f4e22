"""What is legal and probably not meant is told where it happens, once in a process."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from qcore.runtime import current
from qcore.tasks import async_task

MEMORY = "qcore.brokers.memory.MemoryBroker"
Told = Callable[[], list[str]]


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Told:
    """What this process, which has been told of nothing yet, says of its doubts."""
    monkeypatch.setattr(current, "told", set())
    caplog.set_level(logging.WARNING, logger="qcore.runtime")
    return lambda: [record.getMessage() for record in caplog.records]


def test_a_task_for_a_queue_that_is_nearly_one_of_the_settings(settings, told) -> None:
    settings.Q_CLUSTER = {
        "name": "shop", "broker_class": MEMORY, "ALT_CLUSTERS": {"urgent": {}}
    }  # fmt: skip
    for cluster in ("urgnet", "urgnet", "urgent", "shop", "reports"):
        assert async_task("chores.kind.add", 1, 2, cluster=cluster, commit="now")
    warning = "the queue 'urgnet' is in no setting - did you mean 'urgent'?"
    assert told() == [warning]
    current.reset()
    async_task("chores.kind.add", 1, 2, cluster="urgnet", commit="now")
    assert told() == [warning]


def test_a_process_whose_queue_the_environment_has_misspelt(
    settings, told, monkeypatch
) -> None:
    settings.Q_CLUSTER = {"name": "shop", "broker_class": MEMORY}
    monkeypatch.setenv("Q_CLUSTER_NAME", "hsop")
    current.reset()
    current.broker()
    assert told() == ["the queue 'hsop' is in no setting - did you mean 'shop'?"]


def test_no_setting_at_all_beside_several_brokers(settings, told) -> None:
    pytest.importorskip("qcore_orm")
    pytest.importorskip("qcore_redis")
    del settings.Q_CLUSTER
    broker = current.broker()  # made, and connected to nothing yet
    assert type(broker).__name__ == "RedisBroker", "the documented default"
    current.broker("another")
    (warning,) = told()
    assert warning == current.choice("broker").doubt
    assert warning.startswith("Q_CLUSTER selects no broker, and several are installed")
