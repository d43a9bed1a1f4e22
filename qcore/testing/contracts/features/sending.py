"""What a plugin reads and decides before a task is sent."""

from __future__ import annotations

import msgspec
import pytest

from ....errors import EnqueueError
from ....plugins.features import FeaturePlugins
from ....tasks.calls import build
from .case import FEW, MANY, MORE, FeatureCase, State
from .transactions import counted, rolled_back


class SendingContract(FeatureCase):
    """Options, and new tasks."""

    # -- the options -------------------------------------------------------------
    def test_it_says_what_it_is(self, features: FeaturePlugins) -> None:
        """The plugin implements a hook that decides about tasks, and helps with its options."""
        hooks = (features.before_send, features.admit, features.settle, features.sweep)
        assert any(self.name in hook for hook in hooks)
        for option in features.options_of(self.name):
            text = features.options[option].help.strip()
            assert text.endswith("."), f"the option {option!r} has no help"

    def test_what_it_has_read_can_be_read_again(self, features: FeaturePlugins) -> None:
        """A schedule stores what ``read`` has returned, and reads that at each run."""
        for name, value in self.options.items():
            read = features.options[name].read
            once = msgspec.json.decode(msgspec.json.encode(read(value)))
            assert read(once) == once, f"the option {name!r} is read differently again"

    def test_wrong_options_are_refused(self, features: FeaturePlugins) -> None:
        """A wrong value is an ``EnqueueError`` where the call is made."""
        for wrong in self.wrong_options:
            with pytest.raises(EnqueueError) as refused:
                build(self.func, self.args, **wrong)
            assert "cannot be read" not in str(refused.value), (
                f"{wrong}: `read` must raise ValueError for what a caller does wrong"
            )

    # -- new tasks -----------------------------------------------------------------
    def test_a_plain_task_is_left_alone(
        self, features: FeaturePlugins, state: State
    ) -> None:
        """A task without the options is sent as it is, at no statement of the database."""
        task = build(self.func, self.args)
        before = state()
        with counted() as statements:
            (new,) = self.send(task)
        assert (new.task, new.skipped_for) == (task, None)
        assert statements == []
        assert state() == before

    def test_a_task_with_the_options_needs_the_plugin(
        self, features: FeaturePlugins
    ) -> None:
        """What the plugin has to say at the claim is asked for: ``new.need(name)``."""
        if self.name not in features.admit:
            pytest.skip("it has nothing to say at the claim")
        (new,) = self.send(self.new_task())
        assert self.name in new.task.needs

    def test_the_same_task_again_is_the_same(
        self, features: FeaturePlugins, state: State
    ) -> None:
        """A task with an id that was seen gets the same answer, and nothing is written twice.

        After a crash, the next link of a chain is made once more, with the same id.
        """
        task = self.new_task()
        (first,) = self.send(task)
        before = state()
        (again,) = self.send(task)
        assert (again.task, again.skipped_for) == (first.task, first.skipped_for)
        assert state() == before

    def test_a_rollback_takes_along_what_it_has_written(
        self, features: FeaturePlugins, state: State
    ) -> None:
        """A task that was never sent leaves nothing behind."""
        before = state()
        with rolled_back():
            self.send(self.new_task())
        assert state() == before

    def test_a_batch_is_sent_at_the_price_of_a_few(
        self, features: FeaturePlugins
    ) -> None:
        """The statements for a batch do not grow with its tasks."""

        def price(count: int) -> int:
            tasks = [self.new_task() for _ in range(count)]
            with rolled_back(), counted() as statements:
                self.send(*tasks)
            return len(statements)

        assert price(MANY) <= price(FEW) + MORE
