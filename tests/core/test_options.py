"""Options of a task: each is checked at the call, by its type and its range."""

from __future__ import annotations

import datetime as dt
import enum
import math
import re
import uuid

import msgspec
import pytest
from chores import kind
from django.utils.safestring import mark_safe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qcore.brokers.memory import MemoryBroker
from qcore.conf import Conf
from qcore.envelope import UNSET, Options, Task
from qcore.errors import EnqueueError, QcoreError
from qcore.runtime import current
from qcore.signals import pre_enqueue
from qcore.signing import signer_of
from qcore.tasks import (
    AsyncTask,
    Chain,
    Iter,
    async_chain,
    async_iter,
    async_task,
    async_task_many,
    queue_size,
)
from qcore.tasks.calls import build
from qcore.tasks.execute import decode
from qcore.tasks.option_checks import LONGEST
from qcore.tasks.options import (
    ELSEWHERE,
    OPTIONS,
    OWN_FIELDS,
    TABLE,
    TASK_FIELDS,
    check_options,
)
from qcore.testing.drain import enqueued

INF, NAN = math.inf, math.nan
TOMORROW = dt.datetime(2027, 1, 2, tzinfo=dt.UTC)
NAIVE, AGES = TOMORROW.replace(tzinfo=None), TOMORROW.replace(year=9999)

WRONG = {
    "ack_failure": ["yes", 1, 0],
    "backoff": [
        -1,
        INF,
        NAN,
        True,
        "exponentail",
        "chores.kind.nothing",
        [1],
        b"x",
        {"base": -1},
        {"bass": 1},
        LONGEST + 1,
        lambda a, e: 1,
    ],
    "broker": ["redis", MemoryBroker, 7],
    "cached": ["for ever", -1, INF, NAN, LONGEST + 1, 10**400, []],
    "cluster": [5, b"q", "a\0b", "\ud800", "x" * 256, True, uuid.UUID(int=1)],
    "commit": ["onCommit", "", True, 1],
    "delay": ["2", -1, INF, NAN, True, TOMORROW, TOMORROW.date(), LONGEST + 1],
    "expires": ["soon", -1, 0, INF, NAN, True, LONGEST + 1, NAIVE, TOMORROW.date()],
    "discard_on": [
        5,
        "ValueEror",
        "no.such.Error",
        "chores.kind.add",
        [int],
        [None],
        "qcore.Retry",
        BaseException,
    ],
    "group": [5, b"g", "a\0b", "\udfff", "x" * 1001, True, ["g"]],
    "hook": [5, "no dots", "chores.kind.ad", lambda task: task],
    "queue": [5, b"q", "a\0b", "x" * 256, True],
    "max_attempts": [1.5, -1, True, None, "3", 2**31, INF],
    "priority": [101, -101, 1.5, "high", True, NAN],
    "run_after": [5, "soon", True, NAIVE, TOMORROW.date(), dt.timedelta(-1), AGES],
    "retry_on": [
        5,
        "ValueEror",
        "no.such.Error",
        Exception(),
        [ValueError, int],
        "qcore.errors.TaskTimeout",
        KeyboardInterrupt,
    ],
    "save": [1, "no"],
    "sync": [1, "yes"],
    "task_name": [7, b"x", "a\0b", "\ud800", "x" * 1001],
    "track": [1, "yes"],
    "typed": [1, "yes"],
    "timeout": ["soon", -1, 0, -0.5, INF, NAN, True, LONGEST + 1, 10**400],
}


def test_every_option_has_a_wrong_value():
    assert TABLE.keys() == WRONG.keys()


def test_what_travels_has_its_field():
    assert set(Options.__struct_fields__) >= OWN_FIELDS
    assert set(Task.__struct_fields__) >= TASK_FIELDS


def test_a_word_of_another_queue_is_no_option_and_leads_to_one():
    assert not ELSEWHERE.keys() & TABLE.keys()
    for told in ELSEWHERE.values():
        meant = re.match("'([a-z_]+)'", told)
        assert meant is None or meant[1] in TABLE


def test_an_alias_leads_to_an_option_that_is_none():
    for option in TABLE.values():
        assert not option.alias_of or not TABLE[option.alias_of].alias_of


@pytest.mark.parametrize(
    ("option", "number"),
    [(option, n) for option, values in WRONG.items() for n in range(len(values))],
)
def test_a_wrong_option_is_refused_by_every_call(qcore_queue, option, number):
    """At the call and by its name; no other exception reaches the caller."""
    value = WRONG[option][number]
    own = {option: value}
    calls = [
        lambda: async_task("chores.kind.add", 1, q_options=own),
        lambda: async_task_many("chores.kind.add", [(1,)], q_options=own),
        lambda: async_iter("chores.kind.add", [1, 2], q_options=own),
        lambda: async_iter("chores.kind.add", [], q_options=own),
        lambda: async_chain(["chores.kind.add_nothing"], q_options=own),
        lambda: AsyncTask("chores.kind.add", 1, **own).run(),
        lambda: build("chores.kind.add", (1,), **own),
    ]
    for place, call in enumerate(calls):
        if option == "group" and place in (2, 3):
            continue  # an iter has a group of its own
        if value is None and place == 5:
            continue  # of an AsyncTask, None is as if it were not there
        with pytest.raises(EnqueueError, match=f"option '{option}'"):
            call()
    assert queue_size() == 0


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        (
            "timeout", -1,
            (r"'timeout' is -1 \(int\), expected seconds > 0 \(at most 1,000,000,000\), a"
            r" timedelta, or None for no limit\."),
        ),
        ("group", 5, r"'group' is 5 \(int\), expected a text: '5'\."),
        ("commit", "onCommit", "'commit' is 'onCommit' .*, expected 'on_commit' or 'now'"),
        ("delay", TOMORROW, "A moment is for 'run_after'"),
        ("max_attempts", None, "'max_attempts' is None, expected a whole number >= 0"),
        ("hook", "chores.kind.ad", "'hook': there is no .* did you mean 'add'"),
        ("broker", "redis", "'broker' is 'redis' .*, expected a broker object"),
        ("task_name", "\ud800", r"'task_name' is '\\ud800' .* lone surrogates"),
    ],
)  # fmt: skip
def test_what_a_refusal_says(option, value, told):
    with pytest.raises(EnqueueError, match=told):
        build("chores.kind.add", (1,), **{option: value})


class Colour(enum.StrEnum):
    RED = "red"


class Size(enum.IntEnum):
    LARGE = 3


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({"timeout": dt.timedelta(minutes=1)}, {"timeout": 60.0}),
        ({"delay": dt.timedelta(milliseconds=1500)}, {"delay": 1.5}),
        ({"cached": dt.timedelta(hours=1)}, {"cached": 3600.0}),
        ({"cached": 0}, {"cached": False}),
        ({"expires": dt.timedelta(minutes=1)}, {"expires": 60.0}),
        ({"expires": TOMORROW, "priority": 0}, None),
        ({"run_after": TOMORROW}, None),
        ({"run_after": dt.timedelta(minutes=1)}, None),
        ({"timeout": None}, {"timeout": None}),
        ({"timeout": Size.LARGE, "group": Colour.RED}, {"timeout": 3, "group": "red"}),
        ({"task_name": mark_safe("mail")}, {"task_name": "mail"}),
        ({"hook": kind.hook}, {"hook": "chores.kind.hook"}),
        ({"queue": "mail"}, {"cluster": "mail"}),
        (dict.fromkeys(OPTIONS - {"max_attempts", "timeout"}), {}),
        ({"group": "", "task_name": "", "cluster": ""}, {}),
        ({"timeout": 1, "max_attempts": 0, "delay": 0}, None),
    ],
)
def test_what_is_taken(given, taken):
    taken = given if taken is None else taken
    assert check_options(given) == taken
    assert [type(value) for value in check_options(given).values()] == [
        type(value) for value in taken.values()
    ]


def test_a_delay_as_a_timedelta(qcore_queue):
    async_task("chores.kind.add", 1, delay=dt.timedelta(seconds=60))
    assert queue_size() == 1
    assert enqueued() == []


# -- any option at all ---------------------------------------------------------------------
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5),
    st.binary(max_size=3), st.timedeltas(), st.datetimes(), st.decimals(),
    st.lists(st.integers(), max_size=1), st.just(object()), st.just(kind.add),
    st.characters(categories=["Cs"]), st.sampled_from(["on_commit", "now", "math.sqrt"]),
)  # fmt: skip


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.dictionaries(st.sampled_from(sorted(OPTIONS)), ODD, max_size=4))
def test_an_option_is_refused_by_name_or_comes_out_as_it_went_in(qcore_queue, options):
    try:
        task = build("math.sqrt", (4,), **options)
    except QcoreError as error:
        named = [name for name in options if repr(name) in str(error)]
        assert named, f"{error} names none of {options}"
        return
    package = current.signer.sign(task)
    assert current.signer.verify(package, task.queue) == task
    if isinstance(options.get("group"), str):
        assert task.group == (options["group"] or None)
    if "timeout" in options and options["timeout"] is None:
        assert task.options.timeout is None
    if "timeout" not in options:
        assert task.options.timeout is UNSET


# -- unknown ones ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("time_out", "did you mean 'timeout'"),
        ("timeuot", "did you mean 'timeout'"),
        ("countdown", r"did you mean 'delay' \(seconds or a timedelta\)"),
        ("eta", "'run_after'"),
        ("retries", "'max_attempts'"),
        ("queue_name", "'cluster'"),
        ("expire_at", "'expires'"),
    ],
)
def test_an_option_of_another_queue_is_told_what_is_meant(qcore_queue, word, meant):
    calls = [
        lambda: async_task(kind.add, 1, **{word: 5}),
        lambda: async_task("chores.kind.add", 1, q_options={word: 5}),
        lambda: async_iter(kind.add, [1], **{word: 5}),
        lambda: async_chain([kind.add_nothing], **{word: 5}),
        lambda: async_task_many(kind.add, [(1,)], **{word: 5}),
    ]
    for call in calls:
        with pytest.raises(EnqueueError, match=f"{word}.*{meant}"):
            call()
    assert queue_size() == 0


# -- the queue, by two names -----------------------------------------------------------------
@pytest.mark.parametrize(
    "call",
    [
        lambda: async_task("chores.kind.add", 1, queue="mail"),
        lambda: async_task(kind.add, 1, queue="mail", cluster="mail"),
        lambda: async_task(kind.takes_anything, q_options={"queue": "mail"}),
        lambda: async_task_many(kind.add, [(1,)], queue="mail"),
        lambda: async_iter(kind.add, [1], queue="mail"),
        lambda: async_chain([kind.add_nothing], queue="mail"),
        lambda: AsyncTask(kind.add, 1, queue="mail").run(),
    ],
)
def test_queue_is_another_name_of_cluster(qcore_queue, call):
    call()
    assert len(enqueued("mail")) == 1


@pytest.mark.parametrize(
    "path", ["chores.kind.takes_anything", "not_installed.tasks.f", kind.takes_anything]
)
def test_an_option_that_yields_is_the_functions_where_it_may_take_it(qcore_queue, path):
    """Where the function cannot be looked at, its own keyword still arrives."""
    async_task(path, queue="mail")
    assert decode(enqueued()[0]) == ([], {"queue": "mail"})


def test_two_names_that_say_two_things(qcore_queue):
    told = "'cluster' and 'queue' are one, and say two things: 'mail' and 'reports'"
    with pytest.raises(EnqueueError, match=told):
        async_task("chores.kind.add", 1, cluster="reports", queue="mail")
    assert queue_size() == 0


def test_a_function_may_have_such_a_keyword(qcore_queue):
    async_task("chores.kind.takes_anything", countdown=5, eta=1, priority=2)
    assert len(enqueued()) == 1


# -- calls of the wrong shape ------------------------------------------------------------
@pytest.mark.parametrize(
    "call",
    [
        lambda: async_task_many("chores.kind.add", 5),
        lambda: async_task_many("chores.kind.add", None),
        lambda: async_iter("chores.kind.add", 5),
        lambda: async_chain(5),
        lambda: async_chain("chores.kind.add"),
        lambda: async_chain([("chores.kind.add", (1,), 5)]),
        lambda: async_chain([("chores.kind.add", (1,), {1: 2})]),
        lambda: Chain(5),
        lambda: Iter("chores.kind.add", 5),
        lambda: Iter("chores.kind.add", [1], 5),
        lambda: Iter("chores.kind.add", [1], {1: 2}),
        lambda: async_task(None),
        lambda: async_task(b"chores.kind.add"),
        lambda: async_task("chores.kind.add\ud800", 1),
        lambda: async_task("sys.path"),
        lambda: async_task("__main__.anything"),
        lambda: async_task("chores.kind.add", 1, q_options={5: 1}),
        lambda: async_chain(["chores.kind.add"], task_id="mine"),
    ],
)
def test_a_call_of_the_wrong_shape_is_refused(qcore_queue, call):
    with pytest.raises(EnqueueError):
        call()
    assert queue_size() == 0


def test_the_options_of_an_iter_win_over_its_keywords(qcore_queue):
    Iter("chores.kind.add", [1], {"cached": False}, cached=True).run()
    assert enqueued()[0].options.cached is True


@pytest.mark.parametrize(
    "change",
    [
        {"group": 5},
        {"timeout": -1},
        {"grup": "g"},
        {"args": 5},
        {"kwargs": {1: 2}},
        {"kwargs": None},
        {"func": None},
    ],
)
def test_what_a_receiver_makes_wrong_is_refused(qcore_queue, change):
    def receive(sender, task, **_):
        task.update(change)

    pre_enqueue.connect(receive)
    try:
        with pytest.raises(EnqueueError):
            async_task("chores.kind.add", 1)
    finally:
        pre_enqueue.disconnect(receive)
    assert queue_size() == 0


def test_a_receiver_that_takes_the_function_away(qcore_queue):
    def receive(sender, task, **_):
        del task["func"]

    pre_enqueue.connect(receive)
    try:
        with pytest.raises(EnqueueError, match="has removed 'func'"):
            async_task("chores.kind.add", 1)
    finally:
        pre_enqueue.disconnect(receive)


# -- large packages ------------------------------------------------------------------------
def test_what_could_not_be_inflated_is_not_compressed():
    """A package over 16 MiB went out compressed, and was set aside where it arrived."""
    conf = Conf(compress=True, signing_keys=("key",), max_payload=64 * 2**20)
    large = "a" * (17 * 2**20)
    task = build("builtins.len", ("small",))
    task = msgspec.structs.replace(task, body=large.encode())
    signer = signer_of(conf)
    assert signer.verify(signer.sign(task), task.queue) == task
