"""The settings: defaults, right and wrong values, names, secrets, the environment."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.declared import TABLE, from_dict, problems

from qcore.conf import Conf, cpu_count
from qcore.errors import ConfigError

SETTINGS = {one.name: one for one in TABLE if "." not in one.name}
ANY_DICT = [{}, {"host": "h", "port": 1}]
NOT_TEXT = [1, True, [], b"x"]
NOT_BOOL = [0, 1, "yes", None]
NOT_SECONDS = ["60", 0, -1, True, math.inf, math.nan, []]
NOT_PATIENCE = ["5", -1, -0.5, True, None, math.inf]
NOT_NATURAL = [-1, 1.5, "5", True, None]
NOT_COUNT = [0, -1, 1.5, "5", True, None]
NOT_OPTIONS = ["x", 1, [], {1: 2}]

# name: (default, right values, wrong values)
CASES: dict[str, tuple[Any, list[Any], list[Any]]] = {
    "name": ("default", ["shop"], [*NOT_TEXT, "", None]),
    "cluster_name": (None, ["slow", None], [*NOT_TEXT, ""]),
    "ALT_CLUSTERS": (
        {},
        [{"slow": {"timeout": 900}}],
        [None, [], {"slow": 1}, {"slow": {"timeuot": 1}}, {"slow": {"retry": -1}}],
    ),
    "workers": (cpu_count(), [1, 8], [0, -1, "8", 2.0, True]),
    "daemonize_workers": (True, [True, False], NOT_BOOL),
    "preload": (True, [True, False], NOT_BOOL),
    "recycle": (500, [0, 1, 10_000], NOT_NATURAL),
    "max_rss": (None, [None, 1, 200_000], [0, -1, 1.5, "1", True]),
    "cpu_affinity": (0, [0, 1, 3], NOT_NATURAL),
    "guard_cycle": (0.5, [0.1, 1, 59.9], [*NOT_SECONDS, None, 60, 60.0]),
    "shutdown_grace": (25.0, [0, 0.5, 600], NOT_PATIENCE),
    "timeout": (None, [None, 60, 0.5], NOT_SECONDS),
    "grace": (5.0, [0, 0.5, 30], NOT_PATIENCE),
    "retry": (60, [1, 0.5, 3600], [*NOT_SECONDS, None]),
    "renew": (None, [None, True, False], [0, 1, "no"]),
    "max_attempts": (0, [0, 5], NOT_NATURAL),
    "backoff": (
        None,
        [None, 0, 2.5, "exponential", "shop.tasks.wait"],
        [-1, True, "often", [1]],
    ),
    "max_crashes": (3, [1, 5], NOT_COUNT),
    "ack_failures": (False, [True, False], NOT_BOOL),
    "sync": (False, [True, False], NOT_BOOL),
    "compress": (False, [True, False], NOT_BOOL),
    "serializer": ("json", ["json", "pickle"], ["yaml", "", None, 1]),
    "accept_content": (
        ("json",),
        [["pickle"], ("json", "pickle")],
        [[], "json", ["x"]],
    ),
    "max_payload": (1_048_576, [1, 262_144], NOT_COUNT),
    "signing_keys": (None, [None, ["a", "b"]], [[], "key", [""], [1]]),
    "allowed_tasks": (None, [None, [], ["shop.tasks"]], ["shop", [""], [1]]),
    "commit": ("on_commit", ["on_commit", "now"], ["later", True, None]),
    "outbox": (None, [None, True, False], ["always", 1]),
    "bands": (False, [True, False], [None, 1, "yes", 5]),
    "ledger": (None, [None, "default"], ["", 1, True]),
    "queue_limit": (cpu_count() ** 2, [1, 500], [0, -1, "9", 1.0, True]),
    "bulk": (1, [1, 100], NOT_COUNT),
    "poll": (0.2, [0.01, 1], [*NOT_SECONDS, None]),
    "broker_class": (None, [None, "shop.brokers.Own"], [*NOT_TEXT, "", object]),
    "redis": (
        None,
        [None, *ANY_DICT, "redis://h:1/0", ["redis://h:1/0", "redis://i:1/0"]],
        [1, True, [], "", [1]],
    ),
    "django_redis": (None, [None, "default"], [*NOT_TEXT, ""]),
    "orm": (None, [None, "default"], [*NOT_TEXT, ""]),
    "sqs": (None, [None, *ANY_DICT], NOT_OPTIONS),
    "mongo": (None, [None, *ANY_DICT], NOT_OPTIONS),
    "mongo_db": (None, [None, "queues"], [*NOT_TEXT, ""]),
    "iron_mq": (None, [None, *ANY_DICT], NOT_OPTIONS),
    "disque_nodes": (None, [None, ["a:1", "b:2"]], ["a:1", [], [1], [""]]),
    "disque_auth": (None, [None, "pw"], [1, True, []]),
    "disque_replicate": (None, [None, 1, 3], [0, -1, "2", True, 65_536]),
    "save_limit": (250, [-1, 0, 1000], [-2, 1.5, "5", True, None]),
    "save_limit_per": (None, [None, "group", "name", "func"], ["task", 1, True]),
    "cache": ("default", ["other"], [*NOT_TEXT, "", None]),
    "cached": (False, [True, False, 60], [0, -1, "60", 1.5, None]),
    "max_result": (10_485_760, [1], NOT_COUNT),
    "keep_tracked": (1_209_600, [1, 60.5], [0, -1, "60", None]),
    "memory": (None, [None, {}], [True, "x", {"size": 1}]),
    "result_store": (None, [None, "memory", "shop.stores.Store"], [*NOT_TEXT, ""]),
    "cache_backend": (None, [None, "django", "shop.caches.Cache"], [*NOT_TEXT, ""]),
    "scheduler_class": (None, [None, "orm", "shop.clocks.Clock"], [*NOT_TEXT, ""]),
    "otel": (None, [{}, {"parent": True}], [None, True, "x", {"parent": 1}]),
    "flows": (None, [{}, {"keep": 60.0}], [None, True, "x", {"keep": 1.0}]),
    "limits": (
        {},
        [{}, {"smtp": {"concurrency": 4, "rate": "100/m", "burst": 2, "key": "{x}"}}],
        [
            [],
            5,
            {"smtp": 5},
            {"smtp": {}},
            {"smtp": {"rate": "?"}},
            {"a b": {"rate": "1/s"}},
        ],
    ),
    "limiter": (None, [None, "redis", "shop.limits.Own"], [*NOT_TEXT, ""]),
    "redis_limiter": (
        None,
        [None, *ANY_DICT, "redis://h:1/0", ["redis://h:1/0", "redis://i:1/0"]],
        [1, True, [], "", [1]],
    ),
    "prometheus": (None, [{}, {"port": 9100}], [None, True, "x", {"port": 0}]),
    "error_reporter": ({}, [{"sentry": {}}], [None, [], "x", {"sentry": 1}]),
    "report_args": (False, [True, False], NOT_BOOL),
    "scheduler": (True, [True, False], NOT_BOOL),
    "catch_up": (True, [True, False], NOT_BOOL),
    "time_zone": (None, [None, "UTC", "Asia/Tokyo"], ["Mars/Base", "../x", "", 1]),
    "label": ("Django Q", ["Tasks"], [*NOT_TEXT, "", None]),
    "log_level": ("INFO", ["DEBUG", "ERROR"], ["info", 20, None]),
}


def rows(column: int) -> list[Any]:
    return [
        pytest.param(name, value, id=f"{name}-{value!r}")
        for name, case in CASES.items()
        for value in case[column]
    ]


def value_of(conf: Conf, name: str) -> Any:
    attribute = SETTINGS[name].attribute
    return getattr(conf, attribute) if attribute else conf.options[name]


def test_every_setting_has_a_case_here() -> None:
    assert CASES.keys() == SETTINGS.keys()


def test_every_setting_is_documented() -> None:
    groups = {"cluster", "tasks", "broker", "results", "schedules", "app"}
    for setting in SETTINGS.values():
        assert setting.group in groups
        assert setting.help.endswith(".")
        assert setting.type_text and setting.default_text and setting.expects


@pytest.mark.parametrize(
    ("name", "type_text", "default"),
    [
        ("timeout", "int | float | None", "None"),
        ("workers", "int | None", "one per processor"),
        ("queue_limit", "int | None", "workers ** 2"),
        ("redis", "dict | str | list | None", "None"),
        ("disque_nodes", "list[str] | None", "None"),
        ("ALT_CLUSTERS", "dict", "{}"),
        ("cached", "bool | int", "False"),
        ("commit", "'on_commit' | 'now'", "'on_commit'"),
    ],
)
def test_documented_type_and_default(name: str, type_text: str, default: str) -> None:
    assert (SETTINGS[name].type_text, SETTINGS[name].default_text) == (
        type_text,
        default,
    )


@pytest.mark.parametrize("name", CASES)
def test_default(name: str) -> None:
    conf = from_dict({})
    assert value_of(conf, name) == CASES[name][0]
    assert conf.explicit == frozenset()


@pytest.mark.parametrize(("name", "value"), rows(1))
def test_right_value_is_kept(name: str, value: Any) -> None:
    conf = from_dict({name: value})
    kept = value_of(conf, name)
    assert (list(kept) if isinstance(kept, tuple) else kept) == (
        list(value) if isinstance(value, tuple) else value
    )
    assert type(kept) is tuple or type(kept) is type(value)
    assert conf.explicit == {name}


@pytest.mark.fault("J2")
@pytest.mark.parametrize(("name", "value"), rows(2))
def test_wrong_value_is_refused_with_path_and_expectation(
    name: str, value: Any
) -> None:
    (message,) = problems({name: value})
    assert message.startswith(f"Q_CLUSTER[{name!r}]")
    assert "expected " in message or "unknown key" in message
    with pytest.raises(ConfigError) as caught:
        from_dict({name: value})
    assert str(caught.value) == message


@pytest.mark.fault("J1")
@pytest.mark.parametrize("name", CASES)
def test_misspelling_is_refused_with_the_right_name(name: str) -> None:
    wrong = f"{name}z"
    expected = f"Q_CLUSTER: unknown key {wrong!r} - did you mean {name!r}?"
    assert problems({wrong: 1}) == [expected]


@pytest.mark.parametrize(
    ("typo", "meant"),
    # The first five were seen in the predecessor's issues, where they went unnoticed.
    [
        ("recyle", "recycle"),
        ("ack_faiilures", "ack_failures"),
        ("ack_failure", "ack_failures"),
        ("pool", "poll"),
        ("TIMEOUT", "timeout"),
        ("worker", "workers"),
        ("nast", "nats"),
    ],
)
def test_typos_seen_in_the_wild(typo: str, meant: str) -> None:
    (message,) = problems({typo: 1}, claimed=("nats",))
    assert message == f"Q_CLUSTER: unknown key {typo!r} - did you mean {meant!r}?"


@pytest.mark.parametrize("key", ["zzz", 5, None, ("a",)])
def test_unknown_key_without_a_neighbour_names_the_command(key: Any) -> None:
    (message,) = problems({key: "s3cret"})
    assert message == (
        f"Q_CLUSTER: unknown key {key!r}. Run: qcore info --config for all keys"
    )


def test_all_problems_are_told_at_once() -> None:
    options = {"worker": 4, "timeout": "60", "retry": 0}
    with pytest.raises(ConfigError) as caught:
        from_dict(options)
    assert str(caught.value).splitlines() == [
        "Q_CLUSTER: unknown key 'worker' - did you mean 'workers'?",
        (
            "Q_CLUSTER['timeout'] is '60' (str), expected a number of seconds > 0 or "
            "None. Write 60."
        ),
        (
            "Q_CLUSTER['retry'] is 0 (int), expected a number of seconds > 0. Leave it "
            "out for the default, 60."
        ),
    ]


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("workers", " 8 ", "Write 8."),
        ("workers", 8.0, "Write 8."),
        ("sync", "true", "Write True."),
        ("log_level", "debug", "Write 'DEBUG'."),
        ("serializer", "JSON", "Write 'json'."),
        ("disque_nodes", "a:1", "Write ['a:1']."),
        ("accept_content", "json", "Write ['json']."),
        ("workers", "many", "Leave it out for the default, one per processor."),
    ],
)
def test_message_says_what_to_write(name: str, value: Any, advice: str) -> None:
    (message,) = problems({name: value})
    assert message.endswith(f". {advice}")


@pytest.mark.parametrize("options", [[], "workers=4", None, 5])
def test_options_that_are_no_dict(options: Any) -> None:
    (message,) = problems(options)
    assert message == (
        f"Q_CLUSTER is of type {type(options).__name__}, expected a dict. "
        "Write Q_CLUSTER = {}."
    )
    with pytest.raises(ConfigError, match="expected a dict"):
        from_dict(options)


def test_a_long_value_is_cut_in_the_message() -> None:
    (message,) = problems({"workers": "9" * 5000 + "x"})
    assert len(message) < 250


# --- defaults that depend on others ---


def test_none_means_the_default_for_workers_and_queue_limit() -> None:
    conf = from_dict({"workers": None, "queue_limit": None})
    assert (conf.workers, conf.queue_limit) == (cpu_count(), cpu_count() ** 2)
    assert conf.explicit == frozenset()


def test_queue_limit_follows_workers() -> None:
    assert from_dict({"workers": 8}).queue_limit == 64
    assert from_dict({"workers": 8, "queue_limit": 50}).queue_limit == 50
    assert Conf(workers=3).queue_limit == 9


def test_accepted_content_follows_the_serializer() -> None:
    assert from_dict({"serializer": "pickle"}).accept_content == ("pickle",)


def test_leases_are_renewed_unless_the_project_sets_retry() -> None:
    assert from_dict({}).renews
    assert not from_dict({"retry": 60}).renews
    assert from_dict({"retry": 60, "renew": True}).renews
    assert not from_dict({"renew": False}).renews
    assert from_dict({"retry": 0.5}).lease == 0.5


def test_bulk_is_kept_to_the_letter_when_set() -> None:
    assert from_dict({"bulk": 1}).fetch_limit == 1
    assert from_dict({}).fetch_limit == 100


def test_affinity_has_no_effect_from_the_number_of_processors_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("qcore.conf.cpu_count", lambda: 4)
    affinities = [from_dict({"cpu_affinity": n}).affinity for n in range(6)]
    assert affinities == [0, 1, 2, 3, 0, 0]


def test_sqs_without_options_is_chosen_all_the_same() -> None:
    conf = from_dict({"sqs": {}})
    assert conf.options["sqs"] == {}
    assert "sqs" in conf.explicit


def test_time_zone_of_django_stands_in() -> None:
    assert from_dict({}, time_zone="Asia/Tokyo").time_zone == "Asia/Tokyo"
    own = from_dict({"time_zone": "UTC"}, time_zone="Asia/Tokyo")
    assert own.time_zone == "UTC"


def test_keys_of_plugins_are_collected() -> None:
    conf = from_dict({"nats": {"url": "x"}, "orm": "q"}, claimed=("nats", "orm"))
    assert conf.options["nats"] == {"url": "x"}
    assert conf.options["orm"] == "q"
    assert conf.options["sqs"] is None  # as it declares
    assert conf.explicit == {"nats", "orm"}
    assert conf.selects("nats")
    assert not conf.selects("sqs")


def test_the_options_are_not_changed_or_shared() -> None:
    redis = {"host": "h"}
    options = {"redis": redis, "ALT_CLUSTERS": {"a": {"name": "n", "retry": 1}}}
    conf = from_dict(options, environ={"Q_CLUSTER_NAME": "a"})
    redis["host"] = "other"
    assert conf.options["redis"] == {"host": "h"}
    assert options["ALT_CLUSTERS"] == {"a": {"name": "n", "retry": 1}}


@pytest.mark.fault("J9")
def test_keys_of_the_predecessor_without_effect_are_named() -> None:
    conf = from_dict({"testing": True, "has_replica": 1, "disque_fastack": None})
    assert len(conf.warnings) == 3
    assert all("has no effect: " in warning for warning in conf.warnings)
    assert "did you mean" not in problems({"testin": 1})[0]


# --- keys that sign ---


def test_signing_keys_win_over_those_of_django() -> None:
    keys = {"secret_key": "new", "secret_key_fallbacks": ["old", ""]}
    assert from_dict({}, **keys).signing_secrets == ("new", "old")
    own = from_dict({"signing_keys": ["a", "b"]}, **keys)
    assert own.signing_secrets == ("a", "b")
    assert from_dict({}).signing_secrets == ()


# --- clusters chosen by the environment ---

ALTERNATIVES = {
    "name": "shop",
    "timeout": 30,
    "ALT_CLUSTERS": {"slow": {"timeout": 900, "retry": 1000, "name": "other"}},
}


def test_environment_selects_a_cluster() -> None:
    conf = from_dict(ALTERNATIVES, environ={"Q_CLUSTER_NAME": "slow"})
    assert (conf.name, conf.queue, conf.timeout, conf.retry) == (
        "shop",  # the name signs, so an alternative cannot change it
        "slow",
        900,
        1000,
    )
    assert not conf.renews


@pytest.mark.parametrize("environ", [None, {}, {"Q_CLUSTER_NAME": ""}])
def test_without_the_variable_nothing_is_overridden(environ: Any) -> None:
    conf = from_dict(ALTERNATIVES, environ=environ)
    assert (conf.queue, conf.timeout) == ("shop", 30)


@pytest.mark.parametrize("options", [{}, {"ALT_CLUSTERS": {}}, ALTERNATIVES])
def test_a_cluster_without_alternatives_only_gets_its_queue(options: Any) -> None:
    conf = from_dict(options, environ={"Q_CLUSTER_NAME": "mail"})
    assert conf.queue == "mail"
    assert "cluster_name" not in conf.explicit


def test_mistakes_in_an_alternative_are_found_before_it_is_chosen() -> None:
    assert problems({"ALT_CLUSTERS": {"slow": {"retry": "9", "polll": 1}}}) == [
        (
            "Q_CLUSTER['ALT_CLUSTERS']['slow']['retry'] is '9' (str), expected a number "
            "of seconds > 0. Write 9."
        ),
        "Q_CLUSTER['ALT_CLUSTERS']['slow']: unknown key 'polll' - did you mean 'poll'?",
    ]


# --- secrets ---

SECRETS: dict[str, Any] = {
    "redis": "redis://user:canary@h:1/0",
    "redis_limiter": {"host": "h", "password": "canary"},
    "disque_auth": "canary",
    "iron_mq": {"host": "h", "token": "canary", "project_id": "p"},
    "sqs": {"aws_region": "r", "aws_secret_access_key": "canary"},
    "mongo": {"host": "mongodb://u:canary@h/db"},
    "error_reporter": {"rollbar": {"access_token": "canary", "environment": "e"}},
    "signing_keys": ["canary"],
    "ALT_CLUSTERS": {"slow": {"redis": {"password": "canary"}}},
    "nats": "nats://canary@h",
}


@pytest.mark.fault("I5")
def test_no_secret_is_shown() -> None:
    conf = from_dict(SECRETS, claimed=("nats",), secret_key="canary")
    for shown in (repr(conf), str(conf), f"{conf}", repr(conf.masked())):
        assert "canary" not in shown
    assert "canary" not in repr(conf.__rich_repr__())
    masked = conf.masked()
    assert masked.keys() == SETTINGS.keys() | {"nats"}
    assert masked["redis"] == "redis://user:***@h:1/0"
    assert masked["iron_mq"] == {"host": "h", "token": "***", "project_id": "p"}
    assert masked["workers"] == conf.workers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iron_mq", "canary"),
        ("sqs", ["canary"]),
        ("disque_auth", ["canary"]),
        ("signing_keys", "canary"),
        ("redis", [1, "redis://:canary@h"]),
        ("orm", {"PASSWORD": "canary"}),
        ("workers", "redis://:canary@h"),
    ],
)
def test_no_secret_stands_in_a_message(name: str, value: Any) -> None:
    (message,) = problems({name: value})
    assert "canary" not in message


def test_only_two_settings_are_hidden_whole() -> None:
    conf = from_dict({"disque_auth": "x", "signing_keys": ["x"]})
    hidden = {name for name, value in conf.masked().items() if value == "***"}
    assert hidden == {"disque_auth", "signing_keys"}


# --- Django ---


def test_from_settings(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.Q_CLUSTER = ALTERNATIVES
    settings.SECRET_KEY = "new"
    settings.SECRET_KEY_FALLBACKS = ["old", b"older"]
    settings.USE_TZ = True
    settings.TIME_ZONE = "Asia/Tokyo"
    monkeypatch.setenv("Q_CLUSTER_NAME", "slow")
    conf = Conf.from_settings()
    assert (conf.name, conf.queue, conf.timeout) == ("shop", "slow", 900)
    assert conf.signing_secrets == ("new", "old", "older")
    assert conf.time_zone == "Asia/Tokyo"


def test_from_settings_is_read_anew_each_time(settings: Any) -> None:
    settings.Q_CLUSTER = {"workers": 2}
    assert Conf.from_settings().workers == 2
    settings.Q_CLUSTER = {"workers": 3}
    assert Conf.from_settings().workers == 3


def test_from_settings_without_the_setting(settings: Any) -> None:
    if hasattr(settings, "Q_CLUSTER"):
        del settings.Q_CLUSTER
    settings.USE_TZ = False
    conf = Conf.from_settings()
    assert conf.name == "default"
    assert conf.time_zone is None


def test_from_settings_refuses_what_is_no_dict(settings: Any) -> None:
    settings.Q_CLUSTER = ["workers"]
    with pytest.raises(ConfigError, match="of type list, expected a dict"):
        Conf.from_settings()


def test_from_settings_without_a_secret_key(settings: Any) -> None:
    settings.SECRET_KEY = ""
    settings.Q_CLUSTER = {"signing_keys": ["own"]}
    assert Conf.from_settings().signing_secrets == ("own",)


@pytest.mark.live
def test_import_does_not_load_django() -> None:
    code = "import sys, qcore.conf; sys.exit('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- the examples of the contract ---

EXAMPLES: list[dict[str, Any]] = [
    {
        "name": "myproject",
        "workers": 8,
        "recycle": 500,
        "timeout": 60,
        "compress": True,
        "save_limit": 250,
        "queue_limit": 500,
        "cpu_affinity": 1,
        "label": "Django Q",
        "redis": {"host": "127.0.0.1", "port": 6379, "db": 0},
    },
    {"retry": 5, "workers": 4, "orm": "default"},
    {
        "redis": {
            "host": "localhost",
            "port": 6379,
            "db": 0,
            "password": None,
            "socket_timeout": None,
            "charset": "utf-8",
            "errors": "strict",
            "unix_socket_path": None,
        }
    },
    {"redis": "redis://h:asdfqwer1234asdf@ec2-111-1-1-1.compute-1.amazonaws.com:111"},
    {"name": "DJRedis", "workers": 4, "timeout": 90, "django_redis": "default"},
    {
        "name": "DisqueBroker",
        "workers": 4,
        "timeout": 60,
        "retry": 60,
        "disque_nodes": ["127.0.0.1:7711", "127.0.0.1:7712"],
        "disque_auth": "password",
    },
    {
        "name": "IronBroker",
        "workers": 8,
        "timeout": 30,
        "retry": 60,
        "queue_limit": 50,
        "bulk": 10,
        "iron_mq": {"host": "iron.io", "token": "Et1En7", "project_id": "500f7b"},
    },
    {
        "name": "SQSExample",
        "workers": 4,
        "timeout": 60,
        "retry": 90,
        "queue_limit": 100,
        "bulk": 5,
        "sqs": {"aws_region": "us-east-1", "aws_access_key_id": "ac-Idr"},
    },
    {"name": "MongoDB", "mongo": {"host": "127.0.0.1", "port": 27017}},
    {"name": "Custom", "timeout": 60, "broker_class": "myapp.broker.CustomBroker"},
    {"cached": 60, "scheduler": False, "catch_up": False},
    {"error_reporter": {"rollbar": {"access_token": "32we", "environment": "D"}}},
]


@pytest.mark.parametrize(
    "options", EXAMPLES, ids=lambda o: o.get("name", next(iter(o)))
)
def test_examples_of_the_contract(options: dict[str, Any]) -> None:
    conf = from_dict(options)
    assert conf.explicit == options.keys()
    for name, value in options.items():
        kept = value_of(conf, name)
        assert (list(kept) if isinstance(kept, tuple) else kept) == value


# --- properties ---


@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: st.sampled_from(right) for name, (_, right, _) in CASES.items()
        },
    )
)
def test_what_a_conf_holds_makes_the_same_conf(options: dict[str, Any]) -> None:
    conf = from_dict(options)
    again = {SETTINGS[n].name: value_of(conf, n) for n in conf.explicit}
    assert from_dict(again) == conf


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(list(CASES)) | st.text(), ANYTHING, max_size=5))
def test_any_options_make_a_conf_or_a_config_error(options: dict[str, Any]) -> None:
    found = problems(options)
    if found:
        with pytest.raises(ConfigError):
            from_dict(options)
    else:
        assert repr(from_dict(options)).startswith("Conf(")


@pytest.mark.parametrize(
    ("options", "environ", "told"),
    [
        ({"name": "a\0b"}, {}, r"Q_CLUSTER\['name'\]"),
        ({"cluster_name": "q" * 300}, {}, r"Q_CLUSTER\['cluster_name'\]"),
        ({"ALT_CLUSTERS": {"q" * 300: {}}}, {}, "ALT_CLUSTERS.*300 characters"),
        ({}, {"Q_CLUSTER_NAME": "\udcff"}, "Q_CLUSTER_NAME .*surrogates"),
    ],
    ids=["name", "cluster_name", "ALT_CLUSTERS", "Q_CLUSTER_NAME"],
)
def test_a_name_that_no_queue_can_have_is_refused(options, environ, told):
    with pytest.raises(ConfigError, match=told):
        Conf.from_dict(options, environ=environ)
