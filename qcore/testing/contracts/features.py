"""The contract of a plugin that decides about tasks, as tests that its author inherits.

::

    class TestAccounts(FeatureContract):
        name = "accounts"
        options = {"account": 7}
        wrong_options = ({"account": "seven"}, {"account": 0})

The plugin must be installed, its app in INSTALLED_APPS, and its tables in the database of the
ledger. The tests write to that database; pytest-django makes it for them.

Every test asks for one promise, which is its docstring.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import msgspec
import pytest

from ...envelope import Outcome, Task
from ...errors import EnqueueError
from ...features import Admission, Claim
from ...plugins.features import FeaturePlugins
from ...runtime import current
from ...settled import Settled
from ...tasks.calls import build
from ...tasks.new_tasks import NewTask, ask, together

#: What a plugin has written, in a form that can be compared.
State = Callable[[], object]

#: Whether a task holds something, such as a key, that others could have.
Holds = Callable[[Task], bool]

#: How a task can end.
ENDS = sorted(set(Outcome) - {Outcome.STOPPED})

#: Statements that a hook may need more for a large batch than for a small one. A database
#: takes some hundred values in one statement, so a batch of 40 is one of them.
MORE = 8
_FEW, _MANY = 4, 40


class Undo(Exception):
    """Rolls a transaction back."""


@contextlib.contextmanager
def rolled_back() -> Iterator[None]:
    """Do something in a transaction of the ledger's database that does not commit."""
    from django.db import transaction

    with (
        contextlib.suppress(Undo),
        transaction.atomic(using=ledger()),
    ):
        yield
        raise Undo


@contextlib.contextmanager
def counted() -> Iterator[list[str]]:
    """Give the list of the statements that the ledger's database gets inside."""
    from django.db import connections

    statements: list[str] = []

    def note(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        statements.append(str(sql))
        return execute(sql, params, many, context)

    with connections[ledger()].execute_wrapper(note):
        yield statements


def ledger() -> str:
    """Return the alias of the ledger's database."""
    found = current.ledger
    if found is None or not found.is_ready:
        pytest.fail(
            "the tests of a feature need the ledger: 'qcore' in INSTALLED_APPS, and its"
            " tables in the database. Mark them with pytest.mark.django_db."
        )
    return found.database


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


class FeatureContract:
    """Everything that qcore relies on a plugin for that decides about tasks."""

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

        assert price(_MANY) <= price(_FEW) + MORE

    # -- claims ----------------------------------------------------------------------
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

        assert price(_MANY) <= price(_FEW) + MORE

    # -- ends --------------------------------------------------------------------------
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

        assert price(_MANY) <= price(_FEW) + MORE

    # -- the sweep ---------------------------------------------------------------------
    def sweep(self, features: FeaturePlugins) -> float | None:
        """Let the plugin sweep, as a cluster does."""
        if self.name not in features.sweep:
            pytest.skip("it does not sweep")
        found = current.ledger
        assert found is not None
        seconds = features.sweep[self.name](now=found.now())
        assert seconds is None or isinstance(seconds, (int, float))
        return seconds

    def test_a_sweep_leaves_alone_what_is_in_use(
        self, features: FeaturePlugins, state: State
    ) -> None:
        """A task that was sent just now keeps its rows, however often clusters sweep."""
        self.sent(1)
        before = state()
        for _ in range(2):
            self.sweep(features)
        assert state() == before

    def test_a_sweep_of_nothing_is_cheap(self, features: FeaturePlugins) -> None:
        """Where there is nothing to do, a sweep is a few statements and changes nothing."""
        self.sweep(features)
        with counted() as statements:
            self.sweep(features)
        assert len(statements) <= MORE
