"""Retry policies: what a call may say, and what a worker makes of an error."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys

import pytest
from chores import retrying
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from qcore import Backoff, Discard, Retry, Snooze
from qcore.backoff import WORDS, wait_after
from qcore.errors import ConfigError, EnqueueError, TaskTimeout
from qcore.runtime import current
from qcore.signing import peek
from qcore.tasks import async_task
from qcore.tasks.calls import build
from qcore.tasks.execute import execute
from qcore.tasks.options import check_options
from qcore.tasks.retry_policy import judge

POLICIES = st.one_of(
    st.sampled_from(WORDS),
    st.floats(0, 1e6),
    st.builds(
        Backoff, st.floats(0, 1e6), factor=st.floats(1, 100), cap=st.floats(0, 1e6),
        jitter=st.floats(0, 1),
    ),
)  # fmt: skip


@pytest.mark.live
def test_the_names_are_had_without_django():
    code = (
        "import sys; from qcore import Backoff, Discard, Retry, Snooze;"
        " sys.exit(any(name.startswith('django') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- numbers --------------------------------------------------------------------------------
@given(POLICIES, st.integers(1, 10**6))
def test_a_wait_is_within_its_bounds(policy, attempt):
    wait = wait_after(policy, attempt)
    cap = policy.cap if isinstance(policy, Backoff) else 3600
    assert 0 <= wait <= (policy if isinstance(policy, float) else cap)


def test_waits_grow():
    assert [Backoff(2, factor=3, cap=60).seconds(n) for n in (1, 2, 3, 4, 5)] == (
        [2, 6, 18, 54, 60]
    )
    assert wait_after("linear", 3) <= 30 < 23 + wait_after("linear", 3)
    assert wait_after(None, 1) is wait_after("chores.retrying.five_each", 1) is None


@pytest.mark.parametrize(
    "wrong",
    [{"base": -1}, {"base": "2"}, {"base": 1, "factor": 0.5}, {"base": True},
     {"base": 1, "jitter": 2}, {"base": float("nan")}, {"base": 1, "cap": float("inf")}],
)  # fmt: skip
def test_a_backoff_out_of_its_range(wrong):
    with pytest.raises(ValueError, match="expected a number from"):
        Backoff(**wrong)


@pytest.mark.parametrize("after", [-1, float("nan"), float("inf"), "5", True, 1e10])
def test_a_wait_out_of_its_range_is_told_in_the_task(after):
    for kind in (Retry, Snooze):
        with pytest.raises(ValueError, match="expected seconds"):
            kind(after=after)
    with pytest.raises(ValueError, match="None"):
        Snooze(after=None)


# -- options ----------------------------------------------------------------------------------
def options_of(**options):
    return build("chores.kind.add", (1,), **options).options


def test_options_travel():
    own = options_of(
        backoff=Backoff(2), retry_on=[OSError, "chores.retrying.Refused"],
        discard_on=ValueError,
    )  # fmt: skip
    assert own.backoff == Backoff(2)
    assert own.retry_on == ("builtins.OSError", "chores.retrying.Refused")
    assert own.discard_on == ("builtins.ValueError",)
    task = build("chores.kind.add", (1,), backoff=dt.timedelta(minutes=1))
    assert peek(current.signer.sign(task)).options.backoff == 60
    assert options_of(backoff=retrying.five_each).backoff == "chores.retrying.five_each"


def test_options_of_one_call_must_not_contradict_each_other():
    with pytest.raises(EnqueueError, match=r"both have 'builtins\.OSError'"):
        check_options({"retry_on": [OSError, ValueError], "discard_on": [OSError]})
    for name, value in (("backoff", 5), ("retry_on", OSError)):
        with pytest.raises(EnqueueError, match=f"so '{name}' says nothing"):
            check_options({"ack_failure": True, name: value})
    assert check_options({"ack_failure": False, "backoff": 5})


def takes_backoff(backoff):
    return backoff


def test_a_keyword_of_the_function_stays_its_own(db):
    with override_settings(Q_CLUSTER={"name": "tests", "sync": True}):
        from qcore.tasks import result

        task_id = async_task(f"{__name__}.takes_backoff", backoff=7)
        assert result(task_id) == 7


@pytest.mark.parametrize(
    "value", ["exponential", "linear", 0, 2.5, Backoff(1), "shop.tasks.wait"]
)
def test_the_setting_takes_what_the_option_takes(value):
    with override_settings(Q_CLUSTER={"name": "tests", "backoff": value}):
        assert current.conf.backoff == value


@pytest.mark.parametrize("value", [-1, "exponentail", True, [1], {"bass": 1}])
def test_a_wrong_setting_is_told(value):
    with (
        override_settings(Q_CLUSTER={"name": "tests", "backoff": value}),
        pytest.raises(ConfigError, match=r"Q_CLUSTER\['backoff'\]"),
    ):
        _ = current.conf


# -- what a worker says -------------------------------------------------------------------------
def said(error, attempt=1, **options):
    task = build("chores.kind.add", (1,), **options)
    return judge(task, attempt, error)[:3]


@pytest.mark.parametrize(
    ("error", "options", "expected"),
    [
        (ValueError(), {}, ("failure", None, "")),
        (ValueError(), {"backoff": 7}, ("failure", 7, "")),
        (TaskTimeout(), {"backoff": 7, "retry_on": OSError}, ("timeout", 7, "")),
        (Retry(after=3), {"backoff": 7, "discard_on": Exception}, ("failure", 3, "retry")),
        (Retry(), {"backoff": 7}, ("failure", 7, "retry")),
        (Retry(), {}, ("failure", None, "retry")),
        (Snooze(after=0), {"backoff": 7}, ("snoozed", 0, "")),
        (Discard("no"), {"retry_on": Exception}, ("discarded", None, "")),
        # subclasses are included
        (FileNotFoundError(), {"retry_on": OSError}, ("failure", None, "")),
        (ValueError(), {"retry_on": OSError}, ("failure", None, "dead")),
        (retrying.RefusedForGood(), {"discard_on": retrying.Refused},
         ("discarded", None, "")),
        (retrying.Refused(), {"discard_on": retrying.RefusedForGood, "backoff": 1},
         ("failure", 1, "")),
        # discard_on goes before retry_on, which may be a base class of it
        (retrying.RefusedForGood(),
         {"retry_on": retrying.Refused, "discard_on": retrying.RefusedForGood},
         ("discarded", None, "")),
        # functions
        (ValueError(), {"backoff": retrying.nothing}, ("failure", None, "")),
        (ValueError("four"), {"backoff": retrying.by_error}, ("failure", 4, "")),
    ],
)  # fmt: skip
def test_what_becomes_of_an_error(error, options, expected):
    assert said(error, **options) == expected


def test_a_function_gets_the_number_of_the_attempt():
    assert said(ValueError(), 4, backoff=retrying.five_each)[1] == 20


def test_the_setting_holds_for_tasks_that_say_nothing():
    with override_settings(Q_CLUSTER={"name": "tests", "backoff": 9}):
        assert said(ValueError())[1] == 9
        assert said(ValueError(), backoff=2)[1] == 2


@pytest.mark.fault("L6")
@pytest.mark.parametrize("policy", ["raises", "exits", "nonsense", "negative"])
def test_a_policy_that_does_not_work_is_noted_on_the_task(policy, caplog):
    task = build("chores.kind.fail", (), backoff=f"chores.retrying.{policy}")
    attempt, error = execute(task, 1, "here:1")
    assert isinstance(error, ValueError)
    assert (attempt.outcome, attempt.again) == ("failure", None)
    assert f"the backoff 'chores.retrying.{policy}' does not work" in attempt.text
    assert "so the default is used" in caplog.text


@pytest.mark.fault("L6")
def test_a_policy_that_is_not_admitted_is_not_called():
    task = build("chores.kind.fail", (), backoff=retrying.five_each)
    with override_settings(
        Q_CLUSTER={"name": "tests", "allowed_tasks": ["chores.kind"]}
    ):
        attempt, _ = execute(task, 1, "here:1")
    assert attempt.again is None
    assert "allowed_tasks" in attempt.text


def test_a_class_that_is_not_there_any_more_matches_nothing():
    from qcore.tasks.retry_policy import is_one_of

    assert not is_one_of(ValueError(), ("chores.retrying.Gone", "no.such.Error"))
    assert is_one_of(ValueError(), ("chores.retrying.Gone", "builtins.Exception"))
