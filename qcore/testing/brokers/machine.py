"""Has Hypothesis choose the steps of a life, and find the shortest one that fails."""

from __future__ import annotations

from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

from .life import STEPS, Bench, Life


class BrokerMachine(RuleBasedStateMachine):
    """A life, as Hypothesis drives it; its rules are the steps.

    A subclass says with ``bench`` which broker it is about.
    """

    bench: ClassVar[Bench]

    def __init__(self) -> None:
        super().__init__()
        self.life = Life(self.bench)
        self.failed = False

    def teardown(self) -> None:
        """Let it end."""
        try:
            if not self.failed:
                self.life.end()
        finally:
            self.life.close()


def _rule(name: str) -> Any:
    def take(self: BrokerMachine, **given: Any) -> None:
        self.failed = True
        self.life.step(name, **given)
        self.failed = False

    def may(self: BrokerMachine) -> bool:
        return self.life.may(name)

    take.__name__ = name
    given: dict[str, Any] = {
        key: st.sampled_from(values) for key, values in STEPS[name].items()
    }
    step = rule(**given)(take)  # type: ignore[no-untyped-call]
    return precondition(may)(step)


for _name in STEPS:
    setattr(BrokerMachine, _name, _rule(_name))


def run(bench: Bench, examples: int, steps: int) -> None:
    """Live many lives of a broker whose clock the tests have.

    Args:
        bench: what is told of it.
        examples: how many lives.
        steps: of each.

    Raises:
        AssertionError: the broker has broken a promise, after the steps that are shown.
    """
    machine = type("Machine", (BrokerMachine,), {"bench": bench})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
