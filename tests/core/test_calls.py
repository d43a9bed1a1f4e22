"""From a call to a Task: options, arguments, and errors where the call is made."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid

import msgspec
import pytest
from chores import kind
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from qcore.conf import Conf
from qcore.envelope import UNSET, Attempt
from qcore.errors import EnqueueError
from qcore.runtime import current
from qcore.serializers import get_serializer
from qcore.signals import pre_enqueue
from qcore.tasks import (
    async_chain,
    async_iter,
    async_task,
    async_task_many,
    fetch,
    queue_size,
)
from qcore.tasks.allowed_tasks import is_allowed
from qcore.tasks.build import MAX_DEPTH, Running, builder_of
from qcore.tasks.calls import (
    OPTIONS,
    build,
    follow_on_id,
    next_link,
    split_options,
)
from qcore.tasks.execute import decode
from qcore.testing.drain import enqueued

#: What JSON has, and what it has with tags.
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.dates(),
    lambda inner: (
        st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner)
    ),
    max_leaves=8,
)


# -- builders ------------------------------------------------------------------------------
def test_the_builder_of_a_plain_call_is_kept():
    for func in ("chores.kind.add", kind.add):
        assert builder_of(func, {}) is builder_of(func, {})
        assert builder_of(func, {"group": "g"}) is not builder_of(func, {"group": "g"})


def test_no_builder_is_kept_over_a_change_of_settings():
    before = build("chores.kind.add", (1,))
    with override_settings(Q_CLUSTER={"name": "another", "orm": "default"}):
        assert build("chores.kind.add", (1,)).queue == "another"
    with (
        override_settings(Q_CLUSTER={"name": "tests", "allowed_tasks": ["shop"]}),
        pytest.raises(EnqueueError, match="allowed_tasks"),
    ):
        build("chores.kind.add", (1,))
    assert build("chores.kind.add", (1,)).queue == before.queue


def test_no_builder_is_kept_of_a_name_that_leads_to_something_else(monkeypatch):
    build("chores.kind.add", (1,))
    monkeypatch.setattr(kind, "add", lambda: None)
    with pytest.raises(EnqueueError, match="its signature is"):
        build("chores.kind.add", (1,))
    monkeypatch.undo()
    build("chores.kind.add", (1,))


def test_a_kept_builder_says_how_deep_each_of_its_tasks_is(monkeypatch):
    assert build("chores.kind.add", (1,)).depth == 0
    monkeypatch.setattr(Running, "depth", 3)
    assert build("chores.kind.add", (1,)).depth == 4


# -- options -----------------------------------------------------------------------------
def test_options_stand_among_the_keywords():
    kwargs = {"right": 1, "group": "g", "timeout": 3, "hook": "a.b"}
    rest, options = split_options(kwargs)
    assert rest == {"right": 1}
    assert options == {"group": "g", "timeout": 3, "hook": "a.b"}


def test_what_stands_in_q_options_too_is_for_the_function():
    kwargs = {"group": "argument", "timeout": 3, "q_options": {"group": "option"}}
    rest, options = split_options(kwargs)
    assert rest == {"group": "argument"}
    assert options == {"group": "option", "timeout": 3}


def test_what_is_passed_in_is_not_changed():
    own = {"group": "g"}
    kwargs = {"right": 1, "q_options": own, "timeout": 3}
    split_options(kwargs)
    assert kwargs == {"right": 1, "q_options": {"group": "g"}, "timeout": 3}
    assert own == {"group": "g"}


def test_no_q_options():
    assert split_options({"q_options": None, "right": 1}) == ({"right": 1}, {})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"grup": 1},
            r"unknown option 'grup' - did you mean 'group'\? Known options:",
        ),
        ({"right": 1}, "q_options: unknown option 'right'"),
        ("group", "q_options is str, expected a dictionary"),
    ],
)
def test_q_options_that_are_wrong(qcore_queue, given, message):
    with pytest.raises(EnqueueError, match=message):
        async_task("chores.kind.add", 1, q_options=given)
    assert queue_size() == 0


def test_a_task_says_only_what_was_said():
    task = build("chores.kind.add", (1,), timeout=None, save=False)
    assert task.options.timeout is None
    assert task.options.save is False
    assert task.options.ack_failure is UNSET
    assert task.options.max_attempts is UNSET


def test_every_option_is_known_to_async_task(qcore_queue):
    """Each of them is taken, and none of them reaches the function."""
    said = {
        "ack_failure": False, "broker": None, "cached": 60, "cluster": None,
        "commit": "now", "delay": 0, "group": "g", "hook": kind.hook,
        "queue": None, "run_after": None, "expires": 60, "priority": 0, "backoff": 5,
        "retry_on": [OSError], "discard_on": [KeyError],
        "max_attempts": 2, "save": True, "sync": False, "task_name": "n", "timeout": 5,
        "track": False,
        "typed": False,
    }  # fmt: skip
    assert said.keys() == OPTIONS
    async_task(kind.add, 1, **said)
    (task,) = enqueued()
    assert decode(task) == ([1], {})
    assert (task.group, task.name, task.hook) == ("g", "n", "chores.kind.hook")


# -- tasks ---------------------------------------------------------------------------------
def test_a_task_of_a_call():
    task = build(kind.add, (1,), {"right": 2})
    assert (task.func, task.queue, task.content) == ("chores.kind.add", "tests", "json")
    assert len(task.id) == 32
    assert int(task.id, 16)
    assert task.name == f"add-{task.id[-8:]}"
    assert (task.group, task.hook, task.links, task.link) == (None, None, 0, 0)
    assert decode(task) == ([1], {"right": 2})


def test_ids_ascend():
    ids = [build(kind.add, (1,)).id for _ in range(3)]
    assert len(set(ids)) == 3
    assert ids[0][:10] <= ids[1][:10] <= ids[2][:10]


def test_arguments_arrive_as_they_were():
    values = [
        (1, 2), {"a": [None, True]}, dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
        decimal.Decimal("1.10"), uuid.UUID(int=7), b"\xff", {1, 2}, dt.timedelta(days=1),
    ]  # fmt: skip
    args, kwargs = decode(build("chores.kind.echo", (values,), {}))
    assert args == [values]
    assert kwargs == {}
    assert [type(value) for value in args[0]] == [type(value) for value in values]


@pytest.mark.fault("C1")
@pytest.mark.parametrize(
    ("argument", "where"),
    [
        (lambda: 1, r"\[0\]"),
        ([1, {"user": object()}], r"\[0\]\[1\]\['user'\]"),
        (open, r"\[0\]"),
    ],
)
def test_an_argument_that_cannot_travel_is_refused_at_the_call(
    qcore_queue, argument, where
):
    with pytest.raises(EnqueueError, match=rf"cannot send chores.kind.echo: .*{where}"):
        async_task("chores.kind.echo", argument)
    assert queue_size() == 0


@pytest.mark.fault("C3")
def test_arguments_over_the_limit_are_refused_with_both_sizes():
    with pytest.raises(
        EnqueueError, match=r"take 1,100,\d\d\d bytes, max_payload is 1,0"
    ):
        build("chores.kind.echo", ("x" * 1_100_000,))


@pytest.mark.fault("G14")
def test_arguments_that_do_not_fit_are_refused_at_the_call(qcore_queue):
    with pytest.raises(EnqueueError, match="missing a required argument: 'left'"):
        async_task(kind.add)
    assert queue_size() == 0


@pytest.mark.fault("G14")
def test_a_task_whose_function_has_changed_since_it_was_sent_says_so(db, qcore_queue):
    task = build("chores.kind.echo", ("key",))  # as if it had been nap(key) then
    task = msgspec.structs.replace(task, func="chores.kind.nap")
    current.broker().enqueue(current.signer.sign(task))
    assert qcore_queue.drain(raises=False).failed == 1
    told = "nap() missing 1 required positional argument: 'seconds'"
    assert told in fetch(task.id).result


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("shop.tasks.mail", True),
        ("shop.tasks", True),
        ("shop.tasks_of_others.mail", False),
        ("os.system", False),
    ],
)
def test_allowed_tasks(path, allowed):
    assert is_allowed(path, Conf(allowed_tasks=("shop.tasks", "blog"))) is allowed
    assert is_allowed(path, Conf())


def test_what_is_not_allowed_cannot_be_sent():
    with (
        override_settings(Q_CLUSTER={"allowed_tasks": ["shop"]}),
        pytest.raises(EnqueueError, match=r"'allowed_tasks'.* admits only shop"),
    ):
        build("os.system", ("true",))
    current.reset()


@pytest.mark.fault("B22")
def test_a_task_that_enqueues_itself_for_ever_is_refused(monkeypatch):
    monkeypatch.setattr(Running, "depth", MAX_DEPTH - 1)
    assert build("chores.kind.add", (1,)).depth == MAX_DEPTH
    monkeypatch.setattr(Running, "depth", MAX_DEPTH)
    with pytest.raises(EnqueueError, match="this chain would never end"):
        build("chores.kind.add", (1,))


# -- links -----------------------------------------------------------------------------
def test_links_follow_one_another_under_ids_that_can_be_told():
    links = [("chores.kind.echo", [1], {}), ("chores.kind.add", [2], {"right": 3})]
    first = build("chores.kind.add", (0,), chain=links, group="g", hook="a.b")
    assert (first.links, first.link) == (2, 0)
    assert decode(first) == ([0], {})
    ended = Attempt("success", b"1", "json", 1.0, 2.0)
    second = next_link(first, ended)
    assert (second.func, second.links, second.link) == ("chores.kind.echo", 1, 1)
    assert (second.group, second.hook) == ("g", "a.b")
    assert second.id == next_link(first, ended).id == follow_on_id(first.id) != first.id
    third = next_link(second, ended)
    assert decode(third) == ([2], {"right": 3})
    assert third.may_be_doubled
    assert next_link(third, ended) is None


@pytest.mark.parametrize("content", ["json", "pickle"])
@pytest.mark.parametrize("of_result", ["json", "pickle"])
def test_a_result_goes_into_the_arguments_of_the_next_link(content, of_result):
    """Of whichever serializers the sender and the worker have."""
    links = [("chores.kind.add", [2], {"more": 3}), ("chores.kind.echo", [], {})]
    config = {"serializer": content, "accept_content": ["json", "pickle"]}
    with override_settings(Q_CLUSTER=config):
        first = build("chores.kind.add", (0,), chain=links)
        options = msgspec.structs.replace(first.options, pass_results=True)
        first = msgspec.structs.replace(first, options=options)
        value = {"n": decimal.Decimal("1.5")}
        ended = Attempt(
            "success", get_serializer(of_result).dumps(value), of_result, 1.0, 2.0
        )
        second = next_link(first, ended)
        assert decode(second) == ([value, 2], {"more": 3})
        assert second.passes_result and second.is_bound
        third = next_link(second, ended)
        assert decode(third) == ([value], {})
        assert not third.passes_result and not third.is_bound, "nobody takes its result"
    current.reset()


# -- many --------------------------------------------------------------------------------
def test_many_in_one_call(qcore_queue):
    ids = async_task_many("chores.kind.add", [(1, 2), [3], 4], group="g")
    tasks = enqueued()
    assert [task.id for task in tasks] == ids
    assert [decode(task)[0] for task in tasks] == [[1, 2], [3], [4]]
    assert {task.group for task in tasks} == {"g"}


def test_many_or_none(qcore_queue):
    with pytest.raises(EnqueueError):
        async_task_many("chores.kind.echo", [(1,), (object(),)])
    with pytest.raises(
        EnqueueError, match="takes options only, got the keyword 'right'"
    ):
        async_task_many("chores.kind.add", [(1,)], right=2)
    assert queue_size() == 0
    assert async_task_many("chores.kind.add", []) == []


# -- the signal ------------------------------------------------------------------------
def test_a_receiver_may_change_the_call(qcore_queue):
    def change(sender, task, **_):
        task["args"] = (*task["args"], 10)
        task["group"] = f"seen {task['group']}"

    pre_enqueue.connect(change)
    try:
        async_task("chores.kind.add", 1, group="g")
    finally:
        pre_enqueue.disconnect(change)
    (task,) = enqueued()
    assert (decode(task)[0], task.group) == ([1, 10], "seen g")


def test_a_receiver_that_raises_changes_nothing(qcore_queue):
    def fail(sender, task, **_):
        raise RuntimeError

    pre_enqueue.connect(fail)
    try:
        async_task("chores.kind.add", 1)
    finally:
        pre_enqueue.disconnect(fail)
    assert len(enqueued()) == 1


def test_every_way_of_sending_asks_the_receivers_once(qcore_queue):
    seen = []

    def receive(sender, task, **_):
        seen.append(task["func"])
        task["task_name"] = f"call {len(seen)}"

    pre_enqueue.connect(receive)
    try:
        async_task("math.floor", 1.5)
        async_task_many("math.ceil", [(1.5,), (2.5,)])
        async_iter("math.sqrt", [1, 4])
        async_chain([("math.floor", (1.5,)), ("math.ceil", (1.5,))])
    finally:
        pre_enqueue.disconnect(receive)
    funcs = ["floor", "ceil", "ceil", "sqrt", "sqrt", "floor"]
    assert seen == [f"math.{name}" for name in funcs]
    assert [task.name for task in enqueued()] == [f"call {n}" for n in range(1, 7)]


# -- an id of the caller's choice --------------------------------------------------------
def test_an_id_of_the_callers_choice_is_marked(qcore_queue):
    task_id = uuid.uuid4().hex
    options = {"task_id": task_id, "group": "g"}
    assert async_task("chores.kind.add", 1, q_options=options) == task_id
    async_task("chores.kind.add", 1, group="g")
    chosen, plain = enqueued()
    assert (chosen.id, chosen.group, chosen.may_be_doubled) == (task_id, "g", True)
    assert plain.may_be_doubled is False
    assert options == {"task_id": task_id, "group": "g"}


@pytest.mark.parametrize("task_id", ["", "x", "A" * 32, "a" * 31, 7, b"a" * 32])
def test_what_is_no_id_is_refused_at_the_call(qcore_queue, task_id):
    with pytest.raises(EnqueueError, match=r"task_id is .*32 hexadecimal digits"):
        async_task("chores.kind.add", 1, q_options={"task_id": task_id})


def test_as_a_keyword_task_id_is_one_of_the_function(qcore_queue):
    async_task("builtins.dict", task_id="of the function")
    (task,) = enqueued()
    assert task.id != "of the function"
    assert b"of the function" in task.body


def test_many_tasks_take_no_id(qcore_queue):
    with pytest.raises(EnqueueError, match="unknown option 'task_id'"):
        async_task_many("chores.kind.add", [[1]], q_options={"task_id": "a" * 32})


@given(
    calls=st.lists(
        st.tuples(VALUES, st.dictionaries(st.text(), VALUES, max_size=3)),
        min_size=2,
        max_size=5,
    )
)
def test_links_are_passed_on_as_they_are(calls):
    """The values of a chain are not decoded on their way, and arrive as they were."""
    loads, dumps = get_serializer("json").loads, get_serializer("json").dumps
    named = enumerate(calls)
    first, *rest = [[f"shop.task_{n}", [arg], kwargs] for n, (arg, kwargs) in named]
    task = build("chores.kind.add", (4,))
    task = msgspec.structs.replace(
        task, body=dumps([first[1], first[2], rest]), links=len(rest)
    )
    for n, (arg, kwargs) in enumerate(calls[1:], 1):
        task = next_link(task)
        call = loads(task.body)
        assert (task.func, task.link) == (f"shop.task_{n}", n)
        assert call[:2] == [[arg], kwargs]
        assert len(call[2] if len(call) > 2 else []) == task.links == len(calls) - 1 - n
    assert next_link(task) is None
