"""What becomes of tasks that a plugin has wait, on this broker: none is lost or runs twice."""

from __future__ import annotations

import functools
import importlib.util
import time
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from ....envelope import Outcome
from ....errors import BrokerUnavailable
from ....features import RUN, Admission, Claim, Drop, Later, Park, Release, TaskOption
from ....hookspecs import hookimpl
from ....plugins import Plugin, Registry
from ....runtime import current
from ....settled import Settled
from ....tasks import async_task, cancel, status
from .case import LONG, BrokerCase, Connect
from .stage import Stage, furnished

_NAME = "gate"

#: One promise of a plugin: it is played on a stage, and fails if the promise is broken.
Scenario = Callable[[Stage], None]


class Gate:
    """A plugin that answers what a test has told it to, and lets all else run."""

    def __init__(self) -> None:
        self.answers: list[Admission] = []
        #: the claims that it was asked about
        self.claims: list[Claim] = []
        #: the final ends that it was told of: ids and outcomes
        self.ends: list[tuple[str, str]] = []

    def admit(self, claims: Sequence[Claim]) -> list[Admission]:
        self.claims += claims
        return [self.answers.pop(0) if self.answers else RUN for _ in claims]

    def settle(self, settled: Sequence[Settled]) -> None:
        self.ends += [(one.task.id, one.outcome) for one in settled if one.final]

    def registry(self) -> Registry:
        """Return the plugins of a process that has this one alone."""
        module = types.ModuleType("qcore_gate")

        def qcore_task_options() -> list[TaskOption]:
            return [TaskOption(_NAME, bool, "Whether the gate is asked.")]

        def qcore_before_send(tasks: Any) -> None:
            for new in tasks:
                new.need(_NAME)

        def qcore_admit(claims: Any) -> Any:
            return self.admit(claims)

        def qcore_settle(settled: Any) -> None:
            self.settle(settled)

        hooks = (qcore_task_options, qcore_before_send, qcore_admit, qcore_settle)
        vars(module).update({hook.__name__: hookimpl(hook) for hook in hooks})
        found = Registry(only=[])
        found.register(module, Plugin(_NAME, "qcore-gate", "1.0", "qcore_gate"))
        return found


class WaitingContract(BrokerCase):
    """Tasks that a plugin sends later, parks or gives back, with a ledger beside the broker."""

    @pytest.fixture
    def gate(self) -> Gate:
        """The plugin that decides about the tasks of the test."""
        return Gate()

    @pytest.fixture
    def on_stage(
        self, request: pytest.FixtureRequest, connect: Connect, gate: Gate
    ) -> Iterator[Callable[..., Stage]]:
        """Return a callable ``(**settings) -> Stage`` with a broker of the test's queue."""
        with ExitStack() as stack:

            def make(*, retry: float = LONG, is_real: bool = False) -> Stage:
                broker, seconds = connect(retry=retry), self.term + self.patience
                registry = None if is_real else gate.registry()
                return stack.enter_context(
                    furnished(request, broker, registry, seconds)
                )

            yield make

    def send_gated(self, **options: Any) -> str:
        """Send a task that the gate is asked about, and return its id."""
        return async_task("math.sqrt", 4, q_options={_NAME: True, **options})

    def send_parked(self, stage: Stage, gate: Gate) -> str:
        """Send a task that the gate parks at its first claim, and return its id."""
        gate.answers = [Park()]
        id = self.send_gated()
        stage.until("the task is parked", lambda: stage.of(id))
        return id

    # -- later -------------------------------------------------------------------------
    def test_a_task_that_comes_later_runs_once(
        self, on_stage: Callable[..., Stage], gate: Gate
    ) -> None:
        """It is sent again as a new package, and the old one is gone; no attempt is used up."""
        stage = on_stage()
        gate.answers = [Later(0), Later(0)]
        id = self.send_gated()
        stage.until_ended(id)
        assert stage.of(id) == ["Later", "Later", "Run", Outcome.SUCCESS]
        assert [claim.gen for claim in gate.claims] == [0, 1, 2]
        assert [claim.attempt for claim in gate.claims] == [1, 1, 1]
        assert gate.ends == [(id, Outcome.SUCCESS)]
        stage.until_empty()

    def test_a_copy_of_a_task_that_was_sent_again_is_dropped(
        self, on_stage: Callable[..., Stage], gate: Gate
    ) -> None:
        """The acknowledgement of the old package is lost: it comes back, and never runs."""
        stage = on_stage(retry=self.term)
        gate.answers = [Later(0), Later(LONG)]
        stage.acknowledges = False
        id = self.send_gated()
        stage.until("the first claim", lambda: stage.of(id))
        stage.acknowledges = True
        stage.until("the copy is dropped", lambda: "dropped" in stage.of(id))
        stage.until_empty()
        assert stage.runs(id) == 0
        assert [claim.gen for claim in gate.claims] == [0, 1]
        assert status(id) == "scheduled"

    # -- parked ------------------------------------------------------------------------
    def test_a_parked_task_leaves_the_broker_until_it_is_woken(
        self, on_stage: Callable[..., Stage], gate: Gate
    ) -> None:
        """It keeps no delivery and no lease meanwhile, however long it waits."""
        stage = on_stage()
        id = self.send_parked(stage, gate)
        stage.until_empty()
        assert status(id) == "parked"
        assert stage.of(id) == ["Park"]
        assert _wake(id) == {id}
        stage.until_ended(id)
        assert stage.of(id) == ["Park", "Run", Outcome.SUCCESS]
        assert gate.claims[-1].attempt == 1
        stage.until_empty()

    def test_a_copy_of_a_parked_task_is_dropped(
        self, on_stage: Callable[..., Stage], gate: Gate
    ) -> None:
        """The acknowledgement is lost: what comes back neither runs nor wakes the task."""
        stage = on_stage(retry=self.term)
        stage.acknowledges = False
        id = self.send_parked(stage, gate)
        stage.acknowledges = True
        stage.until("the copy is dropped", lambda: "dropped" in stage.of(id))
        stage.until_empty()
        assert status(id) == "parked"
        assert stage.runs(id) == 0
        assert _wake(id) == {id}
        stage.until_ended(id)
        assert stage.runs(id) == 1

    def test_a_parked_task_that_is_cancelled_ends(
        self, on_stage: Callable[..., Stage], gate: Gate
    ) -> None:
        """qcore wakes it; it never runs, and the plugin is told of its end."""
        stage = on_stage()
        id = self.send_parked(stage, gate)
        cancel(id)
        stage.until_ended(id)
        assert stage.runs(id) == 0
        assert gate.ends == [(id, Outcome.CANCELLED)]
        assert _wake(id) == set()
        stage.until_empty()

    def test_a_parked_task_that_expires_ends(
        self, on_stage: Callable[..., Stage], gate: Gate
    ) -> None:
        """qcore wakes it when its time is up; it never runs, and the plugin is told."""
        stage = on_stage()
        gate.answers = [Park()] * 9
        id = self.send_gated(expires=0.6)
        stage.until_ended(id)
        assert stage.runs(id) == 0
        assert gate.ends == [(id, Outcome.EXPIRED)]
        stage.until_empty()

    # -- given back --------------------------------------------------------------------
    def test_a_task_that_is_given_back_stays_what_it_is(
        self, on_stage: Callable[..., Stage], gate: Gate, connect: Connect
    ) -> None:
        """The same package comes again, not before its time, and no attempt is used up."""
        stage = on_stage(retry=self._lease_of_released(connect))
        gate.answers = [Release(self.term)]
        begun = time.monotonic()
        id = self.send_gated()
        stage.until_ended(id)
        # a service may count in other units than this process
        assert time.monotonic() - begun > 0.9 * self.term, "it came too early"
        assert stage.of(id) == ["Release", "Run", Outcome.SUCCESS]
        assert {(claim.gen, claim.attempt) for claim in gate.claims} == {(0, 1)}
        stage.until_empty()

    def test_a_task_that_was_given_back_can_be_cancelled(
        self, on_stage: Callable[..., Stage], gate: Gate, connect: Connect
    ) -> None:
        """It ends at its next claim, and the plugin is told of it."""
        stage = on_stage(retry=self._lease_of_released(connect))
        gate.answers = [Release(0)]
        id = self.send_gated()
        stage.until("the first claim", lambda: stage.of(id))
        cancel(id)
        stage.until_ended(id)
        assert stage.runs(id) == 0
        assert gate.ends == [(id, Outcome.CANCELLED)]
        stage.until_empty()

    def _lease_of_released(self, connect: Connect) -> float:
        """Return the seconds of a lease: short only where it alone brings a task again."""
        kind = type(connect())
        delays = kind.supports_release and kind.supports_delay
        return LONG if delays else self.term

    def test_a_task_that_is_woken_outlives_an_outage(
        self,
        on_stage: Callable[..., Stage],
        gate: Gate,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The broker does not take it at first: it stays in the outbox until it does."""
        stage = on_stage()
        id = self.send_parked(stage, gate)
        with monkeypatch.context() as patch:
            for call in ("enqueue", "enqueue_many", "enqueue_with_priority"):
                patch.setattr(stage.broker, call, _away, raising=False)
            _wake(id)
            with pytest.raises(BrokerUnavailable):
                stage.relay()
        stage.until_ended(id)
        assert stage.of(id) == ["Park", "Run", Outcome.SUCCESS]
        stage.until_empty()

    # -- ended -------------------------------------------------------------------------
    @pytest.mark.parametrize(
        "answer",
        [RUN, Drop(Outcome.REPLACED, "by another")],
        ids=["it ran", "it was dropped"],
    )
    def test_a_task_that_has_ended_does_not_run_again(
        self, on_stage: Callable[..., Stage], gate: Gate, answer: Admission
    ) -> None:
        """The acknowledgement of its end is lost: it comes back, and is dropped."""
        stage = on_stage(retry=self.term)
        gate.answers = [answer]
        stage.acknowledges = False
        id = self.send_gated()
        stage.until_ended(id)
        stage.acknowledges = True
        stage.until("the copy is dropped", lambda: "dropped" in stage.of(id))
        assert stage.runs(id) == (answer is RUN)
        assert len(gate.ends) == 1
        stage.until_empty()

    # -- plugins that are installed --------------------------------------------------------
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Let installed plugins say what to play: see `scenarios`."""
        if "scenario" in metafunc.fixturenames:
            found = scenarios()
            metafunc.parametrize("scenario", list(found.values()), ids=list(found))

    def test_scenarios_of_plugins(
        self, on_stage: Callable[..., Stage], scenario: Scenario
    ) -> None:
        """What an installed plugin promises of tasks holds on this broker, too."""
        scenario(on_stage(retry=self.term, is_real=True))


@functools.cache
def scenarios() -> dict[str, Scenario]:
    """Return what installed plugins want to be played on each broker, by its name.

    These are the public functions of the module ``scenarios`` in the package of a plugin
    whose app is in INSTALLED_APPS. Each gets a ``Stage``, and asserts what must be true.
    """
    from django.apps import apps

    found: dict[str, Scenario] = {}
    if not apps.ready:  # these tests have no settings of Django
        return found
    for plugin in Registry().plugins:
        package = plugin.module.partition(":")[0].partition(".")[0]
        name = f"{package}.scenarios"
        if not apps.is_installed(package) or importlib.util.find_spec(name) is None:
            continue
        pytest.register_assert_rewrite(name)
        for key, value in vars(importlib.import_module(name)).items():
            is_own = isinstance(value, types.FunctionType) and value.__module__ == name
            if is_own and not key.startswith("_"):
                found[f"{plugin.name}: {key.replace('_', ' ')}"] = value
    return found


def _away(*words: object, **options: object) -> Any:
    raise BrokerUnavailable("nobody answers")


def _wake(task_id: str) -> set[str]:
    """Wake a parked task as the gate, and return the ids of those that were parked."""
    ledger = current.ledger
    assert ledger is not None
    return ledger.run(lambda: ledger.wake(_NAME, [task_id]))
