"""``allowed_tasks`` holds for everything that a task can bring to be called."""

from __future__ import annotations

import logging

import chores.kind  # noqa: F401 - the calls of modules that are loaded are checked
import msgspec
import pytest
from chores.ledger import VARIABLE, Ledger
from django.conf import settings
from django.test import override_settings

from qcore.conf import Conf
from qcore.errors import QcoreError
from qcore.models import Schedule
from qcore.runtime import current
from qcore.tasks import async_chain, async_iter, async_task, async_task_many, schedule
from qcore.tasks.allowed_tasks import links_of, refusal
from qcore.tasks.calls import build
from qcore.testing.drain import drain

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("qcore_queue")]

ADD, FORBIDDEN = "chores.kind.add", "builtins.print"


@pytest.fixture
def only_add():
    """A project that admits one function."""
    with override_settings(Q_CLUSTER=settings.Q_CLUSTER | {"allowed_tasks": [ADD]}):
        yield


@pytest.mark.fault("H5")
@pytest.mark.parametrize(
    "call",
    [
        lambda: async_task(FORBIDDEN, 1),
        lambda: async_task(ADD, 1, hook=FORBIDDEN),
        lambda: async_task(ADD, 1, hook=print),
        lambda: async_task(ADD, 1, q_options={"hook": FORBIDDEN}),
        lambda: async_task_many(ADD, [1, 2], hook=FORBIDDEN),
        lambda: async_iter(ADD, [1, 2], hook=FORBIDDEN),
        lambda: async_iter(FORBIDDEN, [1, 2]),
        lambda: async_chain([(ADD, 1), FORBIDDEN]),
        lambda: async_chain([(ADD, 1), (ADD, 2)], hook=FORBIDDEN),
        lambda: schedule(FORBIDDEN, 1),
        lambda: schedule(ADD, 1, hook=FORBIDDEN),
        lambda: schedule(ADD, 1, q_options={"hook": FORBIDDEN}),
    ],
)  # fmt: skip
def test_nothing_is_sent_that_would_call_another_function(only_add, call):
    with pytest.raises(QcoreError, match="allowed_tasks"):
        call()
    assert current.broker().queue_size() == 0
    assert not Schedule.objects.exists()


def test_a_hook_that_is_admitted_is_taken(only_add):
    async_task(ADD, 1, hook=ADD)
    assert current.broker().queue_size() == 1


@pytest.mark.fault("H5")
def test_a_hook_that_was_sent_elsewhere_is_not_called(tmp_path, monkeypatch, caplog):
    """The project that signed it admits more than the cluster that runs it."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "ledger"))
    ledger = Ledger(tmp_path / "ledger")
    async_task(ADD, 1, group="g", hook="chores.hooks.leave")
    own = settings.Q_CLUSTER | {"allowed_tasks": [ADD]}
    with override_settings(Q_CLUSTER=own), caplog.at_level(logging.ERROR):
        assert drain().succeeded == 1
    assert ledger.entries("g") == []
    assert "hook chores.hooks.leave" in caplog.text
    assert "does not admit it" in caplog.text


def test_what_is_refused_names_the_part():
    conf = Conf(allowed_tasks=(ADD,))
    good = build(ADD, (1,), hook=ADD, chain=[(ADD, [1], {})])
    assert refusal(good, conf) is None
    assert links_of(good) == [ADD]
    hooked = build(ADD, (1,), hook=FORBIDDEN)
    assert "builtins.print, its hook" in str(refusal(hooked, conf))
    chained = build(ADD, (1,), chain=[(ADD, [1], {}), (FORBIDDEN, [1], {})])
    assert "builtins.print, a link of its chain" in str(refusal(chained, conf))
    other = msgspec.structs.replace(good, func=FORBIDDEN)
    assert "builtins.print, its function" in str(refusal(other, conf))
    assert refusal(other, Conf()) is None


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"[[],{}]", b"[[],{},7]", b"[[],{},[[]]]"]
)
def test_a_body_that_is_no_chain_has_no_links(body):
    task = msgspec.structs.replace(build(ADD, (1,)), links=2, body=body)
    assert links_of(task) == []


def test_a_pickle_is_not_opened_for_its_links():
    task = msgspec.structs.replace(build(ADD, (1,)), links=2, content="pickle")
    assert links_of(task) == []
