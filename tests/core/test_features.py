"""Options of plugins, and what plugins say of new tasks."""

from __future__ import annotations

import msgspec
import pytest
from chores import decorated
from chores.kind import add
from support.fake_plugins import FakePlugins
from support.feature_plugins import FeaturePluginsOfATest

from qcore import NewTask, TaskOption, hookimpl
from qcore.envelope import Options
from qcore.errors import EnqueueError, QcoreError
from qcore.plugins import Registry
from qcore.runtime import current
from qcore.tasks import async_task
from qcore.tasks.calls import build, next_link, split_options, unambiguous
from qcore.tasks.new_tasks import ask, prepare


def read_colour(value):
    if not isinstance(value, str) or value not in ("red", "blue"):
        raise ValueError("'red' or 'blue'")
    return value


def collecting(seen):
    def qcore_before_send(tasks):
        seen.extend(tasks)

    return qcore_before_send


def paint(colour):
    return colour


COLOUR = TaskOption("colour", read_colour, "Its colour.")


@pytest.fixture
def plugins(monkeypatch):
    yield FeaturePluginsOfATest(monkeypatch)
    current.reset()


@pytest.fixture
def colours(plugins):
    plugins.add("colours", qcore_task_options=lambda: [COLOUR])
    return plugins


def colour_of(task):
    return NewTask(task).options.get("colour")


class TestDeclared:
    def test_the_value_travels_with_the_task(self, colours):
        task = build("chores.kind.add", (1,), colour="red")
        sent = current.signer.verify(current.signer.sign(task), task.queue)
        assert sent.options == Options(plugins={"colour": "red"})
        assert colour_of(sent) == "red"

    def test_a_chain_keeps_it(self, colours):
        links = [("chores.kind.add", [2], {})]
        task = build("chores.kind.add", (1,), chain=links, colour="red")
        assert colour_of(next_link(task)) == "red"

    def test_the_next_link_needs_what_its_own_options_say(self, colours):
        links = [("chores.kind.add", [2], {}, {})]
        task = build("chores.kind.add", (1,), chain=links, colour="red")
        task = msgspec.structs.replace(task, needs=("colours",))
        following = next_link(task)
        assert (following.needs, colour_of(following)) == ((), None)

    def test_a_declared_function_takes_it(self, colours):
        red = decorated.double.using(colour="red", timeout=3)
        assert red.options == {"colour": "red", "timeout": 3}
        assert red.using(colour="blue").options == {"colour": "blue", "timeout": 3}
        assert red.using(colour=None).options == {"timeout": 3}
        assert build(red, (1,)).options == Options(timeout=3, plugins={"colour": "red"})

    def test_none_says_nothing(self, colours):
        assert build("chores.kind.add", (1,), colour=None).options == Options()

    def test_a_wrong_value_is_refused_at_the_call(self, colours):
        with pytest.raises(EnqueueError) as refused:
            async_task("chores.kind.add", 1, q_options={"colour": "green"})
        assert str(refused.value) == (
            "option 'colour' is 'green' (str), expected 'red' or 'blue'."
        )

    def test_a_word_that_is_nearly_the_name(self, colours):
        with pytest.raises(EnqueueError, match="did you mean 'colour'"):
            async_task("chores.kind.add", 1, q_options={"color": "red"})

    def test_a_keyword_is_an_option_unless_the_function_takes_it(self, colours):
        kwargs, options = split_options({"colour": "red", "left": 1}, add)
        assert (kwargs, options) == ({"left": 1}, {"colour": "red"})
        kwargs, options = split_options({"colour": "red"}, paint)
        assert (kwargs, options) == ({"colour": "red"}, {})

    def test_a_schedule_keeps_plain_data(self, colours):
        assert unambiguous({"left": 1, "colour": "red"}, add) == {
            "left": 1,
            "q_options": {"colour": "red"},
        }
        with pytest.raises(EnqueueError, match="expected 'red' or 'blue'"):
            unambiguous({"q_options": {"colour": "green"}}, add)

    def test_what_cannot_travel_is_the_plugins_fault(self, plugins):
        option = TaskOption("odd", lambda value: object(), "Odd.")
        plugins.add("odd", qcore_task_options=lambda: [option])
        with pytest.raises(EnqueueError, match=r"the plugin 'odd' made object of it"):
            async_task("chores.kind.add", 1, q_options={"odd": 1})

    def test_a_plugin_that_fails_to_read_is_named(self, plugins):
        option = TaskOption("odd", lambda value: value.colour, "Odd.")
        plugins.add("odd", qcore_task_options=lambda: [option])
        with pytest.raises(EnqueueError, match=r"by the plugin 'odd': AttributeError"):
            async_task("chores.kind.add", 1, q_options={"odd": 1})

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["colour"], "must return qcore.TaskOption objects, got str"),
            ([TaskOption("timeout", str, "x")], "is an option of qcore itself"),
            ([TaskOption("task_id", str, "x")], "is an option of qcore itself"),
            ([TaskOption("a b", str, "x")], "must be a Python name in lower case"),
        ],
    )
    def test_a_declaration_that_cannot_be(self, monkeypatch, options, said):
        fakes = FakePlugins(monkeypatch)
        fakes.add("bad", qcore_task_options=hookimpl(lambda: options))
        registry = Registry()
        assert said in registry.plugins[-1].error
        assert not registry.features.names - {"builtin"}

    def test_two_plugins_cannot_have_one_option(self, monkeypatch):
        fakes = FakePlugins(monkeypatch)
        for name in ("one", "two"):
            fakes.add(name, qcore_task_options=hookimpl(lambda: [COLOUR]))
        registry = Registry()
        assert list(registry.features.owners.values()) == ["one"]
        assert "is declared by both the plugin 'one' and qcore-two" in str(
            registry.plugins[-1].error
        )


class TestAsked:
    def test_one_plugin_after_the_other_sees_what_was_changed(self, plugins):
        seen = []

        def first(tasks):
            for one in tasks:
                one.set_header("trace", "7")
                one.need("one")
                one.need("one")

        def second(tasks):
            seen.extend((one.task.headers, one.task.needs) for one in tasks)

        plugins.add("one", qcore_before_send=first)
        plugins.add("two", qcore_before_send=second)
        (new,) = ask([build("chores.kind.add", (1,))])
        assert seen == [({"trace": "7"}, ("one",))]
        assert new.task.headers == {"trace": "7"}

    def test_the_arguments_by_name(self, plugins):
        (new,) = ask([build("chores.kind.add", (1,), {"right": 5})])
        assert new.arguments() == {"left": 1, "right": 5}
        assert new.call() == ([1], {"right": 5})

    def test_what_a_task_is_cannot_be_changed(self, plugins):
        (new,) = ask([build("chores.kind.add", (1,))])
        new.change(priority=5)
        assert new.task.priority == 5
        with pytest.raises(TypeError, match="cannot change its 'queue'"):
            new.change(queue="other")

    def test_a_skipped_task_is_not_shown_to_the_next_plugin(self, plugins):
        seen = []
        plugins.add("one", qcore_before_send=lambda tasks: tasks[0].skip("f" * 32))
        plugins.add("two", qcore_before_send=collecting(seen))
        (new,) = ask([build("chores.kind.add", (1,))])
        assert (new.skipped_for, seen) == ("f" * 32, [])

    def test_a_call_of_an_iter_cannot_be_skipped(self, plugins):
        plugins.add("one", qcore_before_send=lambda tasks: tasks[0].skip("f" * 32))
        task = build("chores.kind.add", (1,), iter_index=0, iter_count=2)
        with pytest.raises(EnqueueError, match="one of an async_iter"):
            ask([task])

    def test_nobody_is_asked_where_nobody_wants_to_be(self, plugins):
        plugins.add("one", qcore_sweep=lambda now: None)
        task = build("chores.kind.add", (1,))
        assert not current.registry.features.before_send
        assert prepare(task) is task

    def test_a_plugin_that_the_task_does_not_use_cannot_stop_it(self, plugins, caplog):
        def spoil(tasks):
            tasks[0].set_header("half", "done")
            raise RuntimeError("no licence")

        plugins.add("bad", qcore_before_send=spoil)
        task = build("chores.kind.add", (1,))
        assert prepare(task) == task
        assert "plugin bad failed in qcore_before_send" in caplog.text

    def test_a_plugin_may_refuse(self, plugins):
        def refuse(tasks):
            raise EnqueueError("not on a Sunday")

        plugins.add("calendar", qcore_before_send=refuse)
        with pytest.raises(EnqueueError, match="not on a Sunday"):
            prepare(build("chores.kind.add", (1,)))


def test_the_names_are_public():
    import qcore

    assert qcore.RUN is not None
    for kind in (qcore.Drop, qcore.Later, qcore.Park, qcore.Release):
        assert issubclass(kind, qcore.Admission)
    assert issubclass(EnqueueError, QcoreError)
    assert qcore.Claim.__struct_fields__ == ("task", "attempt", "lease_end", "start")
