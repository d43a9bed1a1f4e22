"""What may be declared of a limit, and what is refused where it is written."""

from __future__ import annotations

import pytest
from chores import decorated
from django.test import override_settings
from support.limited import OUTSIDE, add, numbers

from qcore import RUN
from qcore.errors import EnqueueError
from qcore.features import Park
from qcore.runtime import current
from qcore.tasks import async_task
from qcore.testing.drain import enqueued
from qcore_limits import Limit
from qcore_limits.models import LimitKey

pytestmark = pytest.mark.usefixtures("queue")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({}, "concurrency= or rate="),
        ({"concurrency": 0}, "concurrency=1 to"),
        ({"concurrency": True}, "concurrency=1 to"),
        ({"concurrency": 2.5}, "concurrency=1 to"),
        ({"rate": "100"}, "rate='100/m'"),
        ({"rate": "100/w"}, "rate='100/m'"),
        ({"rate": "0/m"}, "rate='100/m'"),
        ({"rate": "-1/m"}, "rate='100/m'"),
        ({"rate": 5}, "rate='100/m'"),
        ({"rate": f"{'9' * 400}/s"}, "rate='100/m'"),
        ({"rate": "0.001/366d"}, "rate='100/m'"),
        ({"rate": f"1/{'9' * 400}d"}, "rate='100/m'"),
        ({"rate": "5/0s"}, "rate='100/m'"),
        ({"rate": "1/m", "burst": 0}, "burst=1 to"),
        ({"concurrency": 1, "burst": 2}, "burst= together with rate="),
        ({"concurrency": 1, "key": "{"}, "template of the key"),
        ({"concurrency": 1, "key": "{a.b}"}, "no such name"),
        ({"concurrency": 1, "key": ""}, "key="),
    ],
    ids=str,
)
def test_what_nobody_can_have_meant_is_refused_where_it_is_written(words, said):
    with pytest.raises(ValueError, match=said):
        Limit("smtp", **words)


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, 5, "ö"])
def test_names(name):
    with pytest.raises(ValueError, match="name="):
        Limit(name, concurrency=1)


@pytest.mark.parametrize(
    ("rate", "seconds"),
    [
        ("100/m", 0.6),
        ("5/s", 0.2),
        ("1/h", 3600),
        ("5/10s", 2),
        ("0.5/s", 2),
        ("2/d", 43200),
    ],
)
def test_rates(rate, seconds):
    assert Limit("x", rate=rate).pace == pytest.approx(seconds)


@pytest.mark.parametrize(
    "wrong",
    [
        5,
        [5],
        ["one", "one"],
        [["one"]],
        {"name": "x", "speed": 5},
        "a b",
        {"name": "x"} | {"rate": "?"},
    ],
    ids=str,
)
def test_options_that_cannot_be_read(wrong):
    with pytest.raises(EnqueueError, match="limits"):
        add(1, limits=wrong)
    assert enqueued() == []


def test_a_limit_that_nobody_has_declared():
    with pytest.raises(EnqueueError, match=r"'onne'.* did you mean 'one'.*Q_CLUSTER"):
        add(1, limits="onne")
    assert enqueued() == []


def test_a_key_that_cannot_be_filled():
    with pytest.raises(EnqueueError, match="names 'customer', which is no argument"):
        add(1, limits=Limit("api", concurrency=1, key="{customer}"))


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (
            {"y": {"rate": "1/s"}, "x": {}},
            "['x'] is {} (dict), expected concurrency= or",
        ),
        ({"x": {"speed": 1}}, "['x']: unknown key 'speed'"),
        (
            {"x": {"concurency": 1}},
            "unknown key 'concurency' - did you mean 'concurrency'?",
        ),
        ({"x": 5}, "['limits']['x'] is 5 (int), expected a dict"),
        ([], "['limits'] is [] (list), expected limits by their names"),
        ({"x": {"rate": "1/w"}}, "['x']['rate'] is '1/w' (str), expected rate='100/m'"),
        (
            {"x": {"concurrency": "4"}},
            "['x']['concurrency'] is '4' (str), expected an int",
        ),
        ({"x": {"concurrency": 1, "burst": 2}}, "expected burst= together with rate="),
        ({"x": {"rate": "1/s", "key": "{a.b}"}}, "'a.b' is no such name"),
        ({"a b": {"rate": "1/s"}}, "['a b'] is {'rate': '1/s'} (dict), expected name="),
    ],
    ids=str,
)
def test_settings_that_cannot_be_meant(limits, said):
    from qcore.errors import ConfigError

    with (
        override_settings(Q_CLUSTER=OUTSIDE | {"limits": limits}),
        pytest.raises(ConfigError, match="limits") as raised,
    ):
        _ = current.conf
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("options", "near"),
    [
        ({"limits": {"name": "x", "concurency": 1}}, "did you mean 'concurrency'?"),
        ({"unique": {"on_conflcit": "skip"}}, "did you mean 'on_conflict'?"),
        ({"unique": {"on_conflict": "rplace"}}, "did you mean 'replace'?"),
        ({"unique": {"during": "until-done"}}, "did you mean 'until_done'?"),
    ],
    ids=str,
)
def test_a_word_that_is_nearly_right_is_told(options, near):
    with pytest.raises(EnqueueError) as raised:
        async_task("chores.kind.add", 1, q_options=options)
    assert near in str(raised.value)
    assert enqueued() == []


def test_false_is_as_if_it_were_left_out(cluster):
    async_task("chores.kind.add", 1, q_options={"limits": False})
    async_task("chores.kind.add", 1, q_options={"limits": []})
    assert set(cluster.claim().values()) == {RUN}
    assert not LimitKey.objects.exists()


def test_a_declared_function_with_a_limit_of_its_own(cluster):
    alone = decorated.double.using(limits=[Limit("d", concurrency=1, key="{number}")])
    first, second, third = alone.map([1, 1, 2])
    answers = cluster.claim()
    assert (answers[first], answers[third]) == (RUN, RUN)
    assert isinstance(answers[second], Park)
    assert numbers() == {"d:1": (1, 0, 1, 0), "d:2": (1, 0, 0, 0)}
