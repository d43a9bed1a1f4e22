"""What a plugin answers when tasks are claimed."""

from __future__ import annotations

from ....plugins.features import FeaturePlugins
from .case import FEW, MANY, MORE, FeatureCase, State
from .transactions import counted, rolled_back


class ClaimsContract(FeatureCase):
    """Claims, and their answers."""

    def test_each_claim_is_answered(self, features: FeaturePlugins) -> None:
        """There is one answer for each claim of a batch, in their order."""
        self.admit(features, *self.sent(3))
        assert self.admit(features) == []

    def test_the_same_claim_again_is_answered_alike(
        self, features: FeaturePlugins, state: State
    ) -> None:
        """A cluster may die after the answer, and the task is claimed again."""
        (task,) = self.sent(1)
        first = self.admit(features, task)
        before = state()
        assert self.admit(features, task) == first
        assert state() == before

    def test_a_claim_of_a_task_without_rows_is_answered(
        self, features: FeaturePlugins
    ) -> None:
        """Somebody may have deleted the rows, or restored an older database."""
        with rolled_back():
            (task,) = self.sent(1)
        self.admit(features, task)

    def test_an_answer_that_is_rolled_back_leaves_nothing(
        self, features: FeaturePlugins, state: State
    ) -> None:
        """Another plugin may fail after this one: then the whole batch is asked again."""
        (task,) = self.sent(1)
        before = state()
        with rolled_back():
            self.admit(features, task)
        assert state() == before

    def test_a_batch_is_answered_at_the_price_of_a_few(
        self, features: FeaturePlugins
    ) -> None:
        """The statements for a batch of claims do not grow with it."""

        def price(count: int) -> int:
            tasks = self.sent(count)
            with rolled_back(), counted() as statements:
                self.admit(features, *tasks)
            return len(statements)

        assert price(MANY) <= price(FEW) + MORE
