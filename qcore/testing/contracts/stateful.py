"""Lives: what may happen to something, step by step, chosen at random or by Hypothesis.

A subclass of ``Life`` names its steps, which are methods, and what each can be told. It
compares what it sees with what it knows, and says with ``AssertionError`` that a promise
is broken. ``walk`` chooses the steps at random, and often those that go deep;
``qcore.testing.contracts.machine`` has Hypothesis choose them, and find the shortest way to fail.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

#: Each step, and the values of its arguments.
Steps = Mapping[str, Mapping[str, Sequence[Any]]]


class Life:
    """One life; it begins when it is made."""

    STEPS: ClassVar[Steps]
    #: How often each step comes in a walk, relative to the others; 1 unless named.
    WEIGHTS: ClassVar[Mapping[str, int]] = {}

    def __init__(self) -> None:
        self.taken: list[str] = []

    def may(self, name: str) -> bool:
        """Whether a step can be done now."""
        return True

    def check(self) -> None:
        """Raise AssertionError where something is not as it must be after each step."""

    def end(self) -> None:
        """Come to the end, and raise AssertionError where that is not as it must be."""

    def close(self) -> None:
        """Leave nothing behind; comes after ``end``, and after a broken promise."""

    def step(self, name: str, **given: Any) -> None:
        """Do a step.

        Raises:
            AssertionError: a promise is broken; with all steps so far.
        """
        words = ", ".join(f"{key}={value!r}" for key, value in given.items())
        self._noted(f"{name}({words})", lambda: getattr(self, name)(**given))
        self._noted("", self.check)

    def finish(self) -> None:
        """Do what ``end`` does, and raise what it raises with all steps."""
        self._noted("end()", self.end)

    def _noted(self, what: str, call: Callable[[], None]) -> None:
        if what:
            self.taken.append(what)
        try:
            call()
        except AssertionError as error:
            error.add_note("\n".join(["after these steps:", *self.taken]))
            raise


def walk(life: Life, seed: int, steps: int) -> None:
    """Take steps at random.

    Args:
        life: it has just begun.
        seed: of every choice.
        steps: how many.

    Raises:
        AssertionError: a promise is broken; with all steps and the seed.
    """
    choice = random.Random(seed)
    try:
        for _ in range(steps):
            names = [name for name in life.STEPS if life.may(name)]
            weights = [life.WEIGHTS.get(name, 1) for name in names]
            (name,) = choice.choices(names, weights)
            given = {key: choice.choice(some) for key, some in life.STEPS[name].items()}
            life.step(name, **given)
        life.finish()
    except AssertionError as error:
        error.add_note(f"chosen with the seed {seed}")
        raise
    finally:
        life.close()
