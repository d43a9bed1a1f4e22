"""The decorator: a function that can be called, sent, patched, pickled and scheduled."""

from __future__ import annotations

import asyncio
import copy
import datetime as dt
import functools
import inspect
import pickle
from unittest import mock

import pytest
from chores import decorated, kind

from qcore import task
from qcore.envelope import UNSET, Attempt, Options
from qcore.errors import EnqueueError, TaskError
from qcore.runtime import current
from qcore.serializers import get_serializer
from qcore.signals import pre_enqueue
from qcore.tasks import (
    AsyncTask,
    async_chain,
    async_iter,
    async_task,
    async_task_many,
    fetch,
    queue_size,
    result,
)
from qcore.tasks.calls import build, next_link
from qcore.tasks.execute import decode
from qcore.tasks.functions import path_of, resolve
from qcore.tasks.task_function import TaskFunction, TaskId
from qcore.testing.drain import assert_enqueued, drain, enqueued

#: What a function may call its own keywords.
NAMES = (
    "hook", "group", "timeout", "task", "func", "args", "kwargs", "sync", "broker",
    "cluster", "self", "queue", "q_options", "task_name", "delay", "options", "task_id",
)  # fmt: skip


# -- what it is -----------------------------------------------------------------------------
def test_calling_it_calls_the_function():
    assert decorated.double(4) == 8
    assert decorated.send_receipt(17, copies=2) == "receipt of order 17, 2 times"
    assert decorated.names(self=1, func=2) == {"self": 1, "func": 2}
    assert asyncio.run(decorated.rate("CHF")) == 1.1


def test_it_looks_like_the_function():
    assert decorated.double.__doc__ == "Return twice a number."
    assert decorated.double.__name__ == decorated.double.name == "double"
    assert decorated.double.path == "chores.decorated.double"
    assert str(inspect.signature(decorated.double)) == "(number: 'int') -> 'int'"
    assert "chores.decorated.send_receipt cluster='mail'" in repr(
        decorated.send_receipt
    )


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("delay", r"no attribute 'delay' - did you mean enqueue\(...\)\?$"),
        ("apply_async", r"did you mean using\(...\).enqueue\(...\)\?$"),
        ("colour", "^'TaskFunction' object has no attribute 'colour'$"),
    ],
)
def test_words_of_other_queues_are_told(word, told):
    with pytest.raises(AttributeError, match=told):
        getattr(decorated.double, word)
    assert not hasattr(decorated.double, word)


def test_copies_are_the_same_and_so_is_a_pickle():
    for copied in (
        copy.copy(decorated.double),
        copy.deepcopy(decorated.double),
        pickle.loads(pickle.dumps(decorated.double)),
    ):
        assert copied is decorated.double
    changed = decorated.double.using(timeout=4, task_id="0" * 32)
    again = pickle.loads(pickle.dumps(changed))
    assert again.func is decorated.double.func
    assert again.options == {"timeout": 4}
    assert pickle.loads(pickle.dumps(decorated.plain_in_the_evening)).options == {
        "cluster": "evening"
    }


def test_it_unwraps_to_its_function():
    assert path_of(decorated.double) == "chores.decorated.double"
    assert resolve("chores.decorated.double") is decorated.double.func


# -- sending ----------------------------------------------------------------------------------
def test_it_is_sent_with_its_options(qcore_queue):
    sent = decorated.send_receipt.enqueue(17, copies=2)
    (task,) = enqueued("mail")
    assert (task.id, task.group, task.queue) == (sent, "receipts", "mail")
    assert (task.options.max_attempts, task.options.timeout) == (5, 30)
    assert decode(task) == ([17], {"copies": 2})


SENDS = {
    "enqueue": lambda f: f.enqueue(1),
    "async_task": lambda f: async_task(f, 1),
    "path": lambda f: async_task(f.path, 1),
    "many": lambda f: async_task_many(f.path, [(1,)]),
    "map": lambda f: f.map([1]),
    "iter": lambda f: async_iter(f, [1]),
    "chain": lambda f: async_chain([(f, (1,)), (decorated.double, (1,))]),
    "AsyncTask": lambda f: AsyncTask(f, 1).run(),
    "aenqueue": lambda f: asyncio.run(f.aenqueue(1)),
    "amap": lambda f: asyncio.run(f.amap([1])),
}


@pytest.mark.parametrize("way", SENDS)
def test_every_way_of_sending_honours_its_options(qcore_queue, way):
    SENDS[way](decorated.send_receipt)
    (task,) = enqueued("mail")
    assert (task.options.max_attempts, task.options.timeout) == (5, 30)
    assert task.func == "chores.decorated.send_receipt"


def test_what_a_call_says_wins_over_what_is_declared(qcore_queue):
    async_task(decorated.send_receipt, 1, timeout=None, queue="reports")
    (task,) = enqueued("reports")
    assert (task.options.max_attempts, task.options.timeout) == (5, None)


def test_using(qcore_queue):
    own = "0123456789abcdef0123456789abcdef"
    changed = decorated.send_receipt.using(
        timeout=60, queue=None, group="", task_id=own
    )
    assert changed.options == {"max_attempts": 5, "timeout": 60}
    assert changed.enqueue(1) == own
    assert enqueued()[0].options.timeout == 60
    assert decorated.send_receipt.options["timeout"] == 30
    decorated.rate.using(max_attempts=0).enqueue("EUR")
    assert enqueued()[-1].options.max_attempts == 0
    bare = decorated.send_receipt.using(queue="", group="")
    assert TaskFunction(bare.func, {}).options == {}
    async_task(TaskFunction(bare.func, {}), 1)
    assert enqueued()[-1].options == Options()
    with pytest.raises(EnqueueError, match=r"using\(task_id=...\) sends one task"):
        changed.map([1, 2])


def test_a_delay_and_a_moment_take_the_place_of_each_other(qcore_queue):
    """Whoever says when a task may start has not to know what is declared."""
    hour = dt.timedelta(hours=1)
    late = decorated.double.using(delay=5)
    assert late.using(run_after=hour).options == {"run_after": hour}
    assert late.using(run_after=hour).using(delay=7).options == {"delay": 7}
    assert late.using(timeout=3).options == {"delay": 5, "timeout": 3}
    task_id = async_task(late, 1, run_after=hour)
    group = async_chain([(late, (1,)), (late, (2,))], run_after=hour)
    assert task_id and group
    with pytest.raises(EnqueueError, match="'run_after' stands beside 'delay'"):
        async_task(late, 1, q_options={"delay": 1, "run_after": hour})


@pytest.mark.django_db
@pytest.mark.parametrize("name", NAMES)
def test_a_keyword_of_the_function_arrives_whatever_it_is_called(qcore_queue, name):
    decorated.names.enqueue(**{name: 5})
    decorated.names.using(timeout=3).enqueue(**{name: 5})
    for sent in enqueued():
        assert decode(sent) == ([], {name: 5})
        assert (sent.hook, sent.group) == (None, None)
    assert drain().succeeded == 2
    assert decorated.names.call(**{name: 5}) == {name: 5}
    assert asyncio.run(decorated.names.acall(**{name: 5})) == {name: 5}


def test_options_that_a_receiver_adds(qcore_queue):
    def receive(sender, task, **_):
        task["timeout"] = 7

    pre_enqueue.connect(receive)
    try:
        decorated.send_receipt.enqueue(1)
    finally:
        pre_enqueue.disconnect(receive)
    assert enqueued("mail")[0].options.timeout == 7


def test_arguments_are_checked_at_the_call(qcore_queue):
    with pytest.raises(EnqueueError, match=r"send_receipt\(\) missing .*order_id"):
        decorated.send_receipt.enqueue()
    with pytest.raises(
        EnqueueError,
        match=r"'timeout' - an option of a task stands in using\(\) or q_options; its",
    ):
        decorated.send_receipt.enqueue(1, timeout=3)
    with pytest.raises(EnqueueError, match="unexpected keyword argument 'colour'"):
        async_task("chores.decorated.send_receipt", 1, colour="red")
    assert queue_size() == 0


# -- chains ---------------------------------------------------------------------------------
def test_each_link_has_the_options_that_it_declares(qcore_queue):
    async_chain(
        [
            (decorated.send_receipt, (1,)),
            (decorated.rate, ("EUR",)),
            (decorated.double, (2,)),
        ]
    )
    (task,) = enqueued("mail")
    seen = []
    while task is not None:
        seen.append((task.func, task.options.max_attempts, task.options.timeout))
        assert task.queue == "mail"  # that of the first link
        task = next_link(task)
    assert seen == [
        ("chores.decorated.send_receipt", 5, 30),
        ("chores.decorated.rate", 3, UNSET),
        ("chores.decorated.double", UNSET, UNSET),
    ]


def test_what_a_chain_is_given_holds_for_every_link(qcore_queue):
    links = [
        (decorated.double, (1,)),
        (decorated.send_receipt, (1,)),
        (decorated.rate, ("EUR",)),
    ]
    async_chain(links, timeout=8, hook=decorated.hook)
    (task,) = enqueued()
    for attempts in (UNSET, 5, 3):
        assert (task.options.timeout, task.options.max_attempts) == (8, attempts)
        assert task.hook == "chores.decorated.hook"
        task = next_link(task)
    assert task is None


@pytest.mark.parametrize("serializer", ["json", "pickle"])
def test_a_chain_without_declared_options_has_the_form_of_before(
    qcore_queue, serializer, settings
):
    settings.Q_CLUSTER = settings.Q_CLUSTER | {"serializer": serializer}
    async_chain([(kind.add, (1,)), (kind.add, (2,))], timeout=8)
    (task,) = enqueued()
    assert get_serializer(serializer).loads(task.body)[2] in (
        [["chores.kind.add", [2], {}]],
        [("chores.kind.add", [2], {})],
    )
    async_chain([(decorated.rate, ("EUR",)), (kind.add, (2,))], timeout=8)
    following = next_link(enqueued()[1])
    assert (following.options.timeout, following.options.max_attempts) == (8, UNSET)


# -- what comes of it ------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_results_by_the_id(qcore_queue):
    sent = decorated.double.enqueue(4)
    assert isinstance(sent, str)
    assert sent.id == sent and type(sent.id) is str
    assert sent.result() is None
    drain()
    assert sent.result() == decorated.double.get_result(sent) == result(sent) == 8
    assert (
        asyncio.run(sent.aresult())
        == asyncio.run(decorated.double.aget_result(sent))
        == 8
    )
    assert sent.fetch().func == "chores.decorated.double"
    assert fetch(sent).success


@pytest.mark.django_db
def test_the_result_of_a_failure_is_raised(qcore_queue):
    sent = decorated.fails.enqueue()
    drain(raises=False)
    with pytest.raises(TaskError, match="failed: ValueError: as it was told"):
        sent.result()


@pytest.mark.django_db
def test_an_attempt_that_is_not_the_last_is_no_result(qcore_queue):
    # a task that failed, is tried again, and fails for good; asked before each of these
    task = build(decorated.fails, (), {})
    sent = TaskId(task.id)
    failed = Attempt.failed("failure", "ValueError: as it was told")
    ends = [failed.result(task, 1, final=False), failed.result(task, 2, final=True)]
    # the store that lookups ask, and not the one over both
    store, asked = current.store(False), []

    def fetch(key):
        asked.append(key)
        if len(asked) in (2, 4):
            store.save([ends[len(asked) // 2 - 1]])
        return type(store).fetch(store, key)

    with mock.patch.object(store, "fetch", fetch):
        with pytest.raises(TaskError, match="as it was told"):
            sent.result(wait=-1)
        assert len(asked) == 4
    end, answers = store.fetch(sent), [None, None]
    with mock.patch("qcore.tasks.lookup.fetch_end") as look_up:
        look_up.side_effect = lambda key: answers.pop() if answers else end
        with pytest.raises(TaskError, match="as it was told"):
            asyncio.run(sent.aresult(wait=-1))
        assert look_up.call_count == 3
    store.delete(sent)
    store.save(ends[:1])
    assert sent.result() is sent.result(wait=5) is None
    assert sent.fetch().attempt_count == 1


def test_call_runs_it_to_its_end():
    assert decorated.double.call(4) == 8
    assert decorated.rate.call("CHF") == 1.1

    async def inside():
        assert await decorated.rate.acall("CHF") == 1.1
        assert await decorated.double.acall(4) == 8
        with pytest.raises(Exception, match=r"Write: await rate\.acall"):
            decorated.rate.call("CHF")

    asyncio.run(inside())


def test_patched(qcore_queue):
    with mock.patch("chores.decorated.double") as double:
        decorated.double.enqueue(4)
        async_task("chores.decorated.double", 4)
    double.enqueue.assert_called_once_with(4)
    with mock.patch.object(decorated.double, "enqueue") as enqueue:
        decorated.double.enqueue(5)
    enqueue.assert_called_once_with(5)
    with mock.patch("chores.decorated.double", autospec=True):
        async_task("chores.decorated.double", 4)
    assert_enqueued(decorated.double, args=(4,), count=2)


@pytest.mark.django_db
def test_it_can_be_a_hook(qcore_queue):
    async_task("chores.decorated.double", 4, hook=decorated.hook)
    assert enqueued()[0].hook == "chores.decorated.hook"


def test_allowed_tasks_go_by_its_path(qcore_queue, settings):
    settings.Q_CLUSTER = settings.Q_CLUSTER | {
        "allowed_tasks": ["chores.decorated.double"]
    }
    decorated.double.enqueue(1)
    with pytest.raises(EnqueueError, match="allowed_tasks"):
        decorated.rate.enqueue("EUR")


# -- what is wrong where it is written ------------------------------------------------------
class Mailer:
    def send(self):
        """Do nothing."""

    @classmethod
    def build(cls):
        """Do nothing."""


def generator():
    yield 1


def inner():
    def nested():
        """Do nothing."""

    return nested


WRONG = {
    "a lambda": (lambda: 1, "cannot be put on a lambda: .* Write it with def"),
    "a nested function": (
        inner(),
        "a function inside a function: .* Move it to the top",
    ),
    "a method": (Mailer.send, "cannot be put on a method: .* Mailer.send"),
    "a bound method": (Mailer().send, "cannot be put on a method"),
    "a method of a class": (Mailer.__dict__["build"], "cannot be put on a method"),
    "a static method": (staticmethod(generator), "cannot be put on a method"),
    "a partial": (functools.partial(kind.add, 1), "a partial: .* Define a function"),
    "a class": (Mailer, r"on a class \(Mailer\)"),
    "a generator": (generator, "a generator: .* Return a list"),
    "a task": (decorated.double, "stands twice above one function"),
    "a path": ("chores.kind.add", "was given 'chores.kind.add'"),
    "a number": (5, "was given 5"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_decorated_is_told(what):
    func, told = WRONG[what]
    for decorate in (task, task(timeout=3)):
        with pytest.raises(EnqueueError, match=f"^@task .*{told}"):
            decorate(func)


def test_the_place_is_told():
    with pytest.raises(EnqueueError, match=r"\(.*test_decorator\.py, line \d+\)$"):
        task(lambda: 1)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"tiemout": 3}, "unknown option 'tiemout' - did you mean 'timeout'"),
        ({"timeout": -1}, "option 'timeout' is -1"),
        ({"retries": 3}, "did you mean 'max_attempts'"),
        ({"queue": "a", "cluster": "b"}, "say two things"),
        ({"delay": 5, "run_after": dt.timedelta(5)}, "'run_after' stands beside"),
        ({"max_attempts": None}, "'max_attempts' is None"),
    ],
)
def test_a_wrong_option_is_told_where_it_is_written(options, told):
    with pytest.raises(EnqueueError, match=told):
        task(**options)
    with pytest.raises(EnqueueError, match=told):
        decorated.double.using(**options)


def test_a_function_in_the_script_that_runs_is_told_when_it_is_sent(qcore_queue):
    def main():
        """Do nothing."""

    main.__module__, main.__qualname__ = "__main__", "main"
    made = task(main)
    assert made() is None
    with pytest.raises(EnqueueError, match="defined in __main__"):
        made.enqueue()
