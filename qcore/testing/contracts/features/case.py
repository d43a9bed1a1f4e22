"""What the parts of the contract of features share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import pytest

from ....envelope import Outcome, Task
from ....features import Admission, Claim
from ....plugins.features import FeaturePlugins
from ....runtime import current
from ....settled import Settled
from ....tasks.calls import build
from ....tasks.new_tasks import NewTask, ask, together
from .transactions import ledger

#: What a plugin has written, in a form that can be compared.
State = Callable[[], object]

#: Whether a task holds something, such as a key, that others could have.
Holds = Callable[[Task], bool]

#: How a task can end.
ENDS = sorted(set(Outcome) - {Outcome.STOPPED})

#: Tasks in a small batch and in a large one.
FEW, MANY = 4, 40
#: Statements that a hook may need more for a large batch than for a small one. A database
#: takes some hundred values in one statement, so a batch of 40 is one of them.
MORE = 8


def ended(
    task: Task,
    outcome: str = Outcome.SUCCESS,
    *,
    final: bool = True,
    unstarted: bool = False,
    start: int = 1,
) -> Settled:
    """Return what a cluster tells of the end of a delivery."""
    again = None if final else 0.0
    return Settled(
        task=task,
        outcome=outcome,
        final=final,
        again=again,
        unstarted=unstarted,
        start=start,
    )


class FeatureCase:
    """Fixtures and helpers; the attributes may be overridden by a plugin's tests."""

    #: The name of its entry point.
    name: ClassVar[str]
    #: Options with which a task uses the feature.
    options: ClassVar[Mapping[str, Any]] = {}
    #: Options that ``async_task`` must refuse, one dictionary for each case.
    wrong_options: ClassVar[Sequence[Mapping[str, Any]]] = ()
    #: A function that a worker can call, and its positional arguments.
    func: ClassVar[str] = "math.sqrt"
    args: ClassVar[Sequence[Any]] = (4,)

    # -- fixtures --------------------------------------------------------------
    @pytest.fixture
    def features(self) -> FeaturePlugins:
        """The plugins of this process."""
        found = current.registry.features
        if self.name not in found.names:
            pytest.fail(
                f"no plugin {self.name!r} is loaded. Install it (`qcore plugins` shows"
                " what is there), or see its error there."
            )
        return found

    @pytest.fixture
    def state(self, features: FeaturePlugins) -> State:
        """Return a callable that returns what the plugin has written.

        This one reads every row of the models of the plugin's app.
        """
        from django.apps import apps

        (plugin,) = [one for one in current.registry.plugins if one.name == self.name]
        package = plugin.module.partition(".")[0]
        models = [
            model
            for config in apps.get_app_configs()
            if config.name.partition(".")[0] == package
            for model in config.get_models()
        ]
        if not models:
            pytest.fail(
                f"no app of the package {package!r} with models is in INSTALLED_APPS;"
                " override the fixture `state` to say what the plugin has written"
            )
        managers = [model._default_manager.using(ledger()) for model in models]
        return lambda: [sorted(map(repr, one.values_list())) for one in managers]

    @pytest.fixture
    def holds(self) -> Holds | None:
        """Return a callable that says whether a task keeps something from others.

        None, where a feature holds nothing, skips the test of it.
        """
        return None

    def new_task(self, **more: Any) -> Task:
        """Return a task that uses the feature, and that nobody has been asked about."""
        return build(self.func, self.args, **{**self.options, **more})

    def send(self, *tasks: Task) -> list[NewTask]:
        """Ask plugins about tasks as a sender does; nothing goes to a broker."""
        return together(tasks, lambda: ask(tasks))

    def sent(self, count: int) -> list[Task]:
        """Return so many tasks about which plugins have been asked and are not skipped.

        They have different arguments where the function takes them; override it if the
        feature needs more than that for tasks that do not stand in each other's way.
        """
        return [self.send(self.new_task())[0].task for _ in range(count)]

    # -- what clusters do --------------------------------------------------------
    def admit(self, features: FeaturePlugins, *tasks: Task) -> list[Admission]:
        """Ask the plugin about claims of tasks, in a transaction, as a cluster does."""
        from django.db import transaction

        if self.name not in features.admit:
            pytest.skip("it has nothing to say at the claim")
        claims = [Claim(task, 1, 1e12, 1) for task in tasks]
        with transaction.atomic(using=ledger()):
            answers = features.admit[self.name](claims=claims)
        assert isinstance(answers, (list, tuple))
        assert len(answers) == len(claims), "there must be one answer for each claim"
        assert all(isinstance(one, Admission) for one in answers)
        return list(answers)

    def settle(self, features: FeaturePlugins, *settled: Settled) -> None:
        """Tell the plugin what has become of tasks, in a transaction, as a cluster does."""
        from django.db import transaction

        if self.name not in features.settle:
            pytest.skip("it does not listen to the ends of tasks")
        with transaction.atomic(using=ledger()):
            features.settle[self.name](settled=list(settled))

    def begun(self, features: FeaturePlugins) -> Task:
        """Return a task that was sent, and admitted where the plugin is asked."""
        (task,) = self.sent(1)
        if self.name in features.admit:
            self.admit(features, task)
        return task

    def sweep(self, features: FeaturePlugins) -> float | None:
        """Let the plugin sweep, as a cluster does."""
        if self.name not in features.sweep:
            pytest.skip("it does not sweep")
        found = current.ledger
        assert found is not None
        seconds = features.sweep[self.name](now=found.now())
        assert seconds is None or isinstance(seconds, (int, float))
        return seconds
