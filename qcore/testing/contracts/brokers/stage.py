"""A stage for tasks that need plugins: what a cluster does with them, one step at a time.

The ledger is an SQLite file of the test's own. Plugins, outbox, relay, tickets and results are
those of the product; only the processes are missing: the test claims, runs and acknowledges.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from ....brokers.base import Broker
from ....envelope import Attempt, Delivery, Outcome, Task, new_id
from ....errors import BrokerError, Suspend
from ....features import Admission, Claim, Drop, Release, Run
from ....plugins.provider import Provider
from ....plugins.registry import Registry
from ....runtime import current
from ....settled import Settled, Settlement
from ....tasks.inline import run_one
from ....tasks.moments import expired
from ...database import connected, migrate
from ...needs import suspend
from ...speed import Patience

# of higher layers than this one
_FEATURES = Provider("features", "qcore.ledger.features:Features")
_LEDGER = Provider("ledger", "qcore.ledger.settlement:Ledger")
_RELAY = Provider("relay", "qcore.ledger.relay:Relay")

_MIGRATED = pytest.StashKey[Path]()


class Stage:
    """Claims, runs and ends the tasks of one queue as a cluster does.

    Args:
        broker: of the queue.
        seconds: how long a delivery that is due may take, on a calm machine.
    """

    def __init__(self, broker: Broker, seconds: float) -> None:
        plugins = current.registry.features
        self.broker = broker
        #: The answers of plugins and the outcomes of tasks, in their order.
        self.history: list[tuple[str, str]] = []
        #: Whether acknowledgements arrive. Those that do not are lost.
        self.acknowledges = True
        #: Whether tasks that may run go on until the test ends them; then they are in
        #: ``running``.
        self.keeps_running = False
        self.running: dict[str, tuple[Delivery, Task, int]] = {}
        self._seconds = seconds
        self._features = _FEATURES.load()(plugins, current.ledger, current.signer.sign)
        self._ledger = _LEDGER.load()(current.conf, plugins)
        self._relay = _RELAY.load()(current.conf)

    # -- what happened ---------------------------------------------------------------
    def of(self, task_id: str) -> list[str]:
        """Return the answers and the outcomes of one task, in their order."""
        return [word for id, word in self.history if id == task_id]

    def runs(self, task_id: str) -> int:
        """Return how often a task has run."""
        return self.of(task_id).count("Run")

    # -- steps -----------------------------------------------------------------------
    def relay(self) -> None:
        """Send what is due in the outbox."""
        while self._relay.tick() == 0:
            pass

    def step(self) -> int:
        """Send what is due, claim a batch and do all that is to be done with it.

        Returns:
            How many deliveries there were.
        """
        self.relay()
        deliveries = self.broker.dequeue(limit=10, wait=0.05)
        for delivery in deliveries:
            self._take(delivery)
        return len(deliveries)

    def run(self) -> None:
        """Go on until nothing is claimed any more, and nothing is due."""
        while self.step():
            pass

    def end(self, task_id: str) -> None:
        """Let a task end that runs."""
        self._finish(*self.running.pop(task_id))

    def until(self, what: str, condition: Any) -> None:
        """Go on until a condition is true; fail if it does not come in time."""
        patience = Patience(self._seconds)
        while not condition():
            if patience.is_over():
                pytest.fail(f"{what} did not happen in time; there was {self.history}")
            self.step()

    def until_ended(self, *task_ids: str) -> None:
        """Go on until tasks have ended."""
        ends = set(Outcome) - {Outcome.STOPPED, Outcome.SUSPENDED}
        for id in task_ids:
            self.until(f"the end of {id}", lambda id=id: ends & set(self.of(id)))

    def until_empty(self) -> None:
        """Go on until the broker has nothing, as far as it can count."""
        if not self.broker.supports_counts:
            self.until("that nothing comes", lambda: not self.step())
            return
        counts = self.broker.counts_claimed
        size = self.broker.sizes if counts else self.broker.queue_size
        nothing: Any = (0, 0) if counts else 0
        self.until("that the queue is empty", lambda: size() == nothing)

    # -- one delivery ----------------------------------------------------------------
    def _take(self, delivery: Delivery) -> None:
        task = current.signer.verify(delivery.package, self.broker.queue)
        ticket = self._ledger.look_up([task.id]).get(task.id)
        if ticket and (ticket.final is not None or task.gen < ticket.gen):
            self._note(task, "dropped")
            self._acknowledge(delivery)
        elif (end := expired(task)) is not None:
            self._end(delivery, task, 0, end)
        elif not task.needs:
            self._run(delivery, task, 0)
        else:
            claim = Claim(task, delivery.attempt, float("inf"))
            ((answer, ticket),) = self._features.admit([claim])
            self._obey(delivery, task, answer, ticket.starts if ticket else 0)

    def _obey(
        self, delivery: Delivery, task: Task, answer: Admission, start: int
    ) -> None:
        if isinstance(answer, Run):
            self._run(delivery, task, start)
            return
        self._note(task, type(answer).__name__)
        if isinstance(answer, Drop):
            self._end(delivery, task, 0, Attempt.failed(answer.outcome, answer.why))
        elif isinstance(answer, Release):
            self._put_back(delivery, answer.after)
        else:
            self._acknowledge(delivery)  # the task is in the outbox

    def _run(self, delivery: Delivery, task: Task, start: int) -> None:
        self._note(task, "Run")
        if self.keeps_running:
            self.running[task.id] = delivery, task, start
        else:
            self._finish(delivery, task, start)

    def _finish(self, delivery: Delivery, task: Task, start: int) -> None:
        error = run_one(task, delivery.attempt)
        if isinstance(error, Suspend):
            self._note(task, Outcome.SUSPENDED)
            suspend(task, error, start)
            self._acknowledge(delivery)
            return
        outcome = Outcome.FAILURE if error else Outcome.SUCCESS
        self._settle(delivery, task, start, outcome)

    def _end(self, delivery: Delivery, task: Task, start: int, end: Attempt) -> None:
        run_one(task, delivery.attempt, end=end)
        self._settle(delivery, task, start, end.outcome)

    def _settle(self, delivery: Delivery, task: Task, start: int, outcome: str) -> None:
        self._note(task, outcome)
        settled = Settled(task=task, outcome=outcome, final=True, start=start)
        settlement = Settlement(settled=settled, has_ticket=True, found=bool(start))
        with self._ledger.transaction():
            self._ledger.settle([settlement], new_id())
        self._acknowledge(delivery)

    def _acknowledge(self, delivery: Delivery) -> None:
        if not self.acknowledges:
            return
        try:
            self.broker.acknowledge(delivery.receipt)
        except BrokerError:
            # Its lease has ended on a machine with other work to do, and this service
            # takes no late one: the delivery comes once more, and is dropped.
            self._note(None, "refused")

    def _put_back(self, delivery: Delivery, seconds: float) -> None:
        if self.broker.supports_release and self.broker.supports_delay:
            self.broker.release([delivery.receipt], delay=seconds)

    def _note(self, task: Task | None, word: str) -> None:
        self.history.append((task.id if task else "", str(word)))


@contextmanager
def furnished(
    request: pytest.FixtureRequest,
    broker: Broker,
    registry: Registry | None,
    seconds: float,
) -> Iterator[Stage]:
    """Give a stage with a broker and some plugins; skip without Django's settings.

    Args:
        request: of the fixture that asks.
        broker: of the queue of the test.
        registry: of the plugins; None in its place takes those that are installed.
        seconds: of the patience.
    """
    from django.apps import apps
    from django.conf import settings
    from django.test import override_settings

    if not settings.configured and not _has_settings(request):
        pytest.skip("these tests have no settings of Django, and so no ledger")
    if not apps.ready or not apps.is_installed("qcore"):
        pytest.skip("'qcore' is not in INSTALLED_APPS, and so there is no ledger")
    with ExitStack() as stack:
        if blocker := _blocker(request):
            stack.enter_context(blocker.unblock())
        path = request.getfixturevalue("tmp_path") / f"{broker.queue[-12:]}.sqlite3"
        shutil.copy(_migrated(request), path)
        stack.enter_context(connected(path))
        conf = {"name": broker.queue, "retry": broker.conf.retry}
        stack.enter_context(override_settings(Q_CLUSTER=conf))
        before = current._made.get("registry")
        if registry is not None:
            current._made["registry"] = registry
        current._made_here()[f"broker {broker.queue}"] = broker
        try:
            yield Stage(broker, seconds)
        finally:
            current._made.pop("registry", None)
            if before is not None:
                current._made["registry"] = before


def _migrated(request: pytest.FixtureRequest) -> Path:
    """Return an SQLite file with every table, made once in a run."""
    stash = request.config.stash
    if _MIGRATED not in stash:
        factory: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
        path = factory.mktemp("ledgers") / "empty.sqlite3"
        migrate(path)
        stash[_MIGRATED] = path
    return stash[_MIGRATED]


def _blocker(request: pytest.FixtureRequest) -> Any:
    """Return what keeps tests from databases; None where pytest-django is not loaded."""
    try:
        return request.getfixturevalue("django_db_blocker")
    except pytest.FixtureLookupError:
        return None


def _has_settings(request: pytest.FixtureRequest) -> bool:
    """Whether Django finds settings; pytest-django has read them by now, if it is there."""
    return _blocker(request) is not None
