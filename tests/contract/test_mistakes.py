"""Each documented setting refuses what is wrong, and says where, what and what instead.

Of the wrong type, out of range, misspelt; and in contradiction to another setting,
which is a warning that a project can silence.
"""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from contract.document import settings as documented
from django.core import checks as framework
from django.core.management import call_command
from support.declared import TABLE, from_dict, problems

from qcore.brokers.memory import MemoryBroker
from qcore.checks import IDS
from qcore.conf import advice, cpu_count
from qcore.runtime import current

#: Setting: a value of the wrong type, one out of range or None where there is none,
#: and the nearest right value of the first, as the message has it.
MISTAKES: dict[str, tuple[Any, Any, str]] = {
    "name": (5, "", "Leave it out for the default, 'default'."),
    "workers": ("4", 0, "Write 4."),
    "daemonize_workers": ("true", None, "Write True."),
    "recycle": ("500", -1, "Write 500."),
    "max_rss": (200_000.0, 0, "Write 200000."),
    "timeout": ("60", 0, "Write 60."),
    "ack_failures": ("False", None, "Write False."),
    "max_attempts": ("3", -1, "Write 3."),
    "retry": ("90", 0, "Write 90."),
    "compress": (1, None, "Leave it out for the default, False."),
    "save_limit": ("100", -2, "Write 100."),
    "guard_cycle": ("1.5", 60, "Write 1.5."),
    "sync": ("yes", None, "Leave it out for the default, False."),
    "queue_limit": ("50", 0, "Write 50."),
    "label": (["Tasks"], "", "Leave it out for the default, 'Django Q'."),
    "catch_up": ("FALSE", None, "Write False."),
    "redis": (6379, "", "Leave it out for the default, None."),
    "django_redis": ({}, "", "Leave it out for the default, None."),
    "disque_nodes": ("127.0.0.1:7711", [], "Write ['127.0.0.1:7711']."),
    "disque_auth": (5, None, "Leave it out for the default, None."),
    "iron_mq": ("a token", None, "Leave it out for the default, None."),
    "sqs": ("us-east-1", None, "Leave it out for the default, None."),
    "orm": (True, "", "Leave it out for the default, None."),
    "mongo": ("mongodb://h", None, "Leave it out for the default, None."),
    "mongo_db": (5, "", "Leave it out for the default, None."),
    "broker_class": (MemoryBroker, "", "Write 'qcore.brokers.memory.MemoryBroker'."),
    "bulk": ("10", 0, "Write 10."),
    "poll": ("0.5", 0, "Write 0.5."),
    "cache": (5, "", "Leave it out for the default, 'default'."),
    "cached": ("60", 0, "Write 60."),
    "scheduler": ("off", None, "Leave it out for the default, True."),
    "error_reporter": ("sentry", None, "Leave it out for the default, {}."),
    "cpu_affinity": ("1", -1, "Write 1."),
}


def test_every_documented_setting_is_here():
    assert MISTAKES.keys() == set(documented())


@pytest.mark.parametrize("name", MISTAKES)
def test_the_wrong_type(name):
    value, _, remedy = MISTAKES[name]
    (message,) = problems({name: value})
    shown = "***" if setting(name).secret else repr(value)
    if isinstance(value, type):
        shown = repr(str(value))
    fact = f"Q_CLUSTER[{name!r}] is {shown} ({type(value).__name__}), expected "
    assert message == f"{fact}{setting(name).expects}. {remedy}"


@pytest.mark.parametrize(
    "name", [name for name, (_, far, _) in MISTAKES.items() if far is not None]
)
def test_out_of_range(name):
    (message,) = problems({name: MISTAKES[name][1]})
    assert message.startswith(f"Q_CLUSTER[{name!r}] is ")
    assert f"expected {setting(name).expects}. " in message
    assert message.endswith(
        f"Leave it out for the default, {setting(name).default_text}."
    )


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        (name, wrong)
        for name in MISTAKES
        for wrong in sorted({name + name[-1], name.upper(), name.replace("_", "-")})
        if wrong != name
    ],
)
def test_misspelt(name, wrong):
    expected = f"Q_CLUSTER: unknown key {wrong!r} - did you mean {name!r}?"
    assert problems({wrong: 1}) == [expected]


def setting(name):
    (found,) = (one for one in TABLE if one.name == name)
    return found


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"mongo_db": "queues"}, "mongo_db has no effect: it belongs to mongo"),
        (
            {"disque_auth": "pw"},
            "disque_auth has no effect: it belongs to disque_nodes",
        ),
        ({"mongo": {}, "mongo_db": "queues"}, None),
        ({"disque_nodes": ["h"], "disque_auth": "pw"}, None),
        ({"broker_class": "shop.Own", "mongo_db": "queues"}, None),
    ],
)
def test_settings_of_a_broker_that_is_not_selected(given, words):
    found = [one for one in advice(from_dict(given)) if one.id == "qcore.W014"]
    assert [one.message.startswith(words or "") for one in found] == [True] * bool(
        words
    )
    assert "pw" not in str(found)


# -- contradictions --------------------------------------------------------------------------
ORM = {"orm": "default"}

#: Check: settings that earn it.
CONTRADICTIONS: dict[str, dict[str, Any]] = {
    "qcore.W001": {"timeout": 60, "retry": 60},
    "qcore.W002": {"retry": 5},
    "qcore.W003": {"poll": 61},
    "qcore.W004": {"save_limit_per": "group", "save_limit": 0},
    "qcore.W005": {"ack_failures": True, "max_attempts": 3},
    "qcore.W006": {"has_replica": True},
    "qcore.W007": {"cpu_affinity": cpu_count()},
    "qcore.W008": {"workers": 1, "queue_limit": 1, "bulk": 3},
    "qcore.W009": {"shutdown_grace": 40},
    "qcore.W010": {"serializer": "json", "accept_content": ["pickle"]},
    "qcore.W011": {"serializer": "pickle"},
    "qcore.W012": {},  # and no SECRET_KEY
    "qcore.W013": {},  # and a plugin whose checks fail
    "qcore.W014": {"mongo_db": "queues"},
    "qcore.W015": {"orm": None},  # and no other broker
    "qcore.W016": {"ALT_CLUSTERS": {"urgent": {}}},  # and a misspelt Q_CLUSTER_NAME
}


@pytest.fixture
def earn(settings, monkeypatch):
    """Give the project what earns a warning."""
    pytest.importorskip("qcore_orm")
    pytest.importorskip("qcore_redis")

    def give(check: str) -> None:
        settings.Q_CLUSTER = ORM | CONTRADICTIONS[check]
        if check == "qcore.W012":
            settings.SECRET_KEY = ""
        if check == "qcore.W013":
            monkeypatch.setattr("qcore_orm.checks.check", None)
        if check == "qcore.W016":
            monkeypatch.setenv("Q_CLUSTER_NAME", "urgnet")
        current.reset()

    yield give
    current.reset()


def printed() -> str:
    """Return what ``manage.py check`` prints."""
    out, errors = StringIO(), StringIO()
    call_command("check", tags=["qcore"], stdout=out, stderr=errors)
    return out.getvalue() + errors.getvalue()


#: Not of the settings but of the database: tests/doctor/test_tables.py earns it.
OF_TABLES = "qcore.W017"


def test_every_warning_is_here():
    warnings = {id for id in IDS if id.startswith("qcore.W")}
    assert {*CONTRADICTIONS, OF_TABLES} == warnings


@pytest.mark.parametrize("check", CONTRADICTIONS)
def test_a_contradiction_is_a_warning_that_can_be_silenced(earn, settings, check):
    earn(check)
    (message,) = [m for m in framework.run_checks(tags=["qcore"]) if m.id == check]
    assert not message.is_serious()
    assert message.hint, "it says what to do"
    for name in CONTRADICTIONS[check]:
        if name not in ("workers", "serializer"):
            assert name in message.msg
    assert f"({check})" in printed()
    settings.SILENCED_SYSTEM_CHECKS = [check]
    assert f"({check})" not in printed()


@pytest.mark.parametrize(
    ("given", "check", "words"),
    [
        ({"orm": "default", "redis": {}}, "qcore.E003", "selects 2 brokers"),
        (
            {"orm": "default", "cache": "defualt"},
            "qcore.E006",
            "did you mean 'default'?",
        ),
        (
            {"orm": "default", "error_reporter": {"sentri": {}}},
            "qcore.E002",
            "no error reporter 'sentri'",
        ),
        ({"broker_class": "myapp.Nothing"}, "qcore.E001", "cannot be imported"),
    ],
)
def test_what_cannot_work_is_an_error(settings, given, check, words):
    pytest.importorskip("qcore_orm")
    pytest.importorskip("qcore_redis")
    settings.Q_CLUSTER = given
    found = [m for m in framework.run_checks(tags=["qcore"]) if m.id == check]
    assert [m for m in found if words in m.msg and m.is_serious()]
