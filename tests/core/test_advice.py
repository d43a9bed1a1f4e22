"""Settings that contradict each other, and those that do not."""

from __future__ import annotations

from typing import Any

import pytest

from qcore.conf import Conf, advice


def ids(options: dict[str, Any], secret_key: str = "key") -> list[str]:
    return [a.id for a in advice(Conf.from_dict(options, secret_key=secret_key))]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"timeout": 60, "retry": 60}, "qcore.W001"),
        ({"timeout": 60, "renew": False}, "qcore.W001"),
        ({"retry": 5}, "qcore.W002"),
        ({"renew": False}, "qcore.W002"),
        ({"poll": 61}, "qcore.W003"),
        ({"save_limit_per": "group", "save_limit": 0}, "qcore.W004"),
        ({"save_limit_per": "func", "save_limit": -1}, "qcore.W004"),
        ({"ack_failures": True, "max_attempts": 3}, "qcore.W005"),
        ({"testing": True}, "qcore.W006"),
        ({"cpu_affinity": 100_000}, "qcore.W007"),
        ({"workers": 2, "bulk": 7}, "qcore.W008"),
        ({"shutdown_grace": 26}, "qcore.W009"),
        ({"serializer": "json", "accept_content": ["pickle"]}, "qcore.W010"),
        ({"serializer": "pickle"}, "qcore.W011"),
    ],
)
def test_contradiction_is_told(options: dict[str, Any], expected: str) -> None:
    assert expected in ids(options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"timeout": 90},  # leases are renewed: retry is not set
        {"timeout": 90, "retry": 60, "renew": True},
        {"timeout": 60, "retry": 61},
        {"poll": 60},
        {"save_limit_per": "group"},
        {"ack_failures": True, "max_attempts": 1},
        {"workers": 2, "bulk": 6},
        {"shutdown_grace": 20, "grace": 10},
    ],
)
def test_sound_settings_are_left_alone(options: dict[str, Any]) -> None:
    assert ids(options) == []


@pytest.mark.fault("J7")
def test_a_missing_key_is_told() -> None:
    assert ids({}, secret_key="") == ["qcore.W012"]
    assert ids({"signing_keys": ["own"]}, secret_key="") == []


@pytest.mark.fault("J3")
@pytest.mark.fault("J4")
def test_messages_do_the_arithmetic() -> None:
    conf = Conf.from_dict({"timeout": 90, "retry": 60}, secret_key="key")
    (lease,) = advice(conf)
    assert lease.message == (
        "retry (60 s) must exceed timeout (90 s), or a task that runs for more than "
        "60 s is started again."
    )
    assert lease.hint == "Raise retry above 90, lower timeout, or set 'renew': True."
    (room,) = advice(Conf.from_dict({"workers": 2, "bulk": 7}, secret_key="key"))
    assert "queue_limit (4) + workers (2) = 6" in room.message
    (stop,) = advice(Conf.from_dict({"shutdown_grace": 40}, secret_key="key"))
    assert "shutdown_grace (40 s) + grace (5.0 s) = 45 s" in stop.message
    (look,) = advice(Conf.from_dict({"poll": 90}, secret_key="key"))
    assert "poll (90 s) exceeds retry (60 s)" in look.message
    assert "for 30 s longer than it lasted" in look.message


def test_one_advice_for_each_key_without_effect() -> None:
    assert ids({"testing": True, "has_replica": True}) == ["qcore.W006"] * 2
