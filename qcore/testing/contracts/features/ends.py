"""What a plugin does when tasks end, or are given back."""

from __future__ import annotations

import pytest

from ....envelope import Outcome
from ....plugins.features import FeaturePlugins
from .case import ENDS, FEW, MANY, MORE, FeatureCase, Holds, State, ended
from .transactions import counted, rolled_back


class EndsContract(FeatureCase):
    """Ends of deliveries."""

    @pytest.mark.parametrize("outcome", ENDS)
    def test_every_end_frees_what_it_holds(
        self, features: FeaturePlugins, holds: Holds | None, outcome: str
    ) -> None:
        """However a task ends, nobody waits for it any more."""
        if holds is None:
            pytest.skip("the plugin's tests do not say what it holds")
        task = self.begun(features)
        self.settle(features, ended(task, outcome))
        assert not holds(task)

    def test_an_end_again_changes_nothing(
        self, features: FeaturePlugins, state: State
    ) -> None:
        """After a lost acknowledgement the same end comes once more."""
        task = self.begun(features)
        self.settle(features, ended(task))
        before = state()
        self.settle(features, ended(task))
        assert state() == before

    def test_a_task_may_end_before_it_has_begun(self, features: FeaturePlugins) -> None:
        """It may be cancelled, expire, or be dropped by another plugin at its claim."""
        (task,) = self.sent(1)
        self.settle(features, ended(task, Outcome.REPLACED, start=0))

    def test_an_end_of_a_task_without_rows_is_heard(
        self, features: FeaturePlugins
    ) -> None:
        """Else its delivery could never be acknowledged."""
        with rolled_back():
            (task,) = self.sent(1)
        self.settle(features, ended(task))

    def test_an_end_that_is_rolled_back_leaves_nothing(
        self, features: FeaturePlugins, state: State
    ) -> None:
        """Whatever the plugin does at the end of a task is part of the transaction."""
        task = self.begun(features)
        before = state()
        with rolled_back():
            self.settle(features, ended(task))
        assert state() == before

    def test_what_is_given_back_may_begin_again(self, features: FeaturePlugins) -> None:
        """A cluster that stops gives back tasks: those that wait, and those that run."""
        for unstarted in (True, False):
            (task,) = self.sent(1)
            first = self.admit(features, task)
            back = ended(task, Outcome.STOPPED, final=False, unstarted=unstarted)
            self.settle(features, back)
            assert self.admit(features, task) == first
            self.settle(features, ended(task))

    def test_ends_are_heard_at_the_price_of_a_few(
        self, features: FeaturePlugins
    ) -> None:
        """The statements for a batch of ends do not grow with it."""

        def price(count: int) -> int:
            ends = [ended(task) for task in self.sent(count)]
            with rolled_back(), counted() as statements:
                self.settle(features, *ends)
            return len(statements)

        assert price(MANY) <= price(FEW) + MORE
