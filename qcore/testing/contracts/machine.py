"""Has Hypothesis choose the steps of a life, and find the shortest one that fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

from .stateful import Life


class Machine(RuleBasedStateMachine):
    """A life, as Hypothesis drives it; ``machine_of`` adds its steps as rules."""

    make_life: Callable[[], Life]

    def __init__(self) -> None:
        super().__init__()
        self.life = type(self).make_life()
        self.failed = False

    def teardown(self) -> None:
        """Let it end."""
        try:
            if not self.failed:
                self.life.finish()
        finally:
            self.life.close()


def machine_of(begin: Callable[[], Life], kind: type[Life]) -> type[Machine]:
    """Return the machine of a kind of life.

    Args:
        begin: makes one.
        kind: has its steps.
    """
    rules = {name: _rule(name, kind) for name in kind.STEPS}
    return type(f"{kind.__name__}Machine", (Machine,), {"make_life": begin, **rules})


def _rule(name: str, kind: type[Life]) -> Any:
    def take(self: Machine, **given: Any) -> None:
        self.failed = True
        self.life.step(name, **given)
        self.failed = False

    def may(self: Machine) -> bool:
        return self.life.may(name)

    take.__name__ = name
    given: dict[str, Any] = {
        key: st.sampled_from(values) for key, values in kind.STEPS[name].items()
    }
    step = rule(**given)(take)  # type: ignore[no-untyped-call]
    return precondition(may)(step)


def run(begin: Callable[[], Life], kind: type[Life], examples: int, steps: int) -> None:
    """Live many lives.

    Args:
        begin: makes one.
        kind: has its steps.
        examples: how many lives.
        steps: of each.

    Raises:
        AssertionError: a promise is broken, after the steps that are shown.
    """
    run_state_machine_as_test(
        machine_of(begin, kind),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
