"""What plugins declare is checked, shown and hidden as the settings of the core are."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, Literal

import pytest
from support.fake_plugins import MEMORY, FakePlugins, brokers

import qcore
from qcore import Conf, Provider, Setting, hookimpl
from qcore.conf import advice, problems
from qcore.errors import ConfigError, PluginMissing
from qcore.plugins import Registry
from qcore.plugins.choice import choose
from qcore.plugins.known import KEYS, KNOWN

ACME = Setting(
    "acme",
    dict[str, Any] | None,
    "Acme: where its server is.",
    keys=(
        Setting("host", str, "Its name.", default="localhost", minimum=1),
        Setting("port", int, "Its port.", default=7700, minimum=1, maximum=65_535),
        Setting("pin", str | None, "What it asks for.", secret=True),
        Setting("mode", Literal["fast", "safe"], "How it keeps.", default="safe"),
    ),
)
PAUSE = Setting("acme_pause", int | float, "Seconds.", default=2, minimum=0.5)
RETRIES = Setting("acme_tries", int, "Tries.", default=3, minimum=0, belongs_to="acme")
REPORTER = Setting(
    "error_reporter.acme",
    dict[str, Any],
    "Options of the reporter.",
    keys=(Setting("sink", str, "Where failures go."),),
    other_keys=True,
)
ALL = (ACME, PAUSE, RETRIES, REPORTER)


def _is_route(value: dict[str, dict[str, Any]]) -> bool:
    for name, words in value.items():
        if words.get("from") == words.get("to"):
            raise ValueError("two different ends", name)
    return True


ROUTES = Setting(
    "routes",
    dict[str, dict[str, Any]],
    "Routes by their names.",
    default={},
    check=_is_route,
    each=(
        Setting("from", str, "Where it begins.", minimum=1),
        Setting("to", Literal["depot", "shop"], "Where it ends.", default="shop"),
        Setting("pass", str | None, "What opens it.", secret=True),
        Setting("stops", tuple[int, ...], "Its stops.", default=()),
    ),
)


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> FakePlugins:
    return FakePlugins(monkeypatch)


def declare(*settings: Any) -> dict[str, Any]:
    @hookimpl
    def qcore_settings() -> list[Any]:
        return list(settings)

    return {"qcore_settings": qcore_settings}


def told(options: object) -> list[str]:
    return problems(options, settings=ALL)


# -- checking -------------------------------------------------------------------------
def test_what_is_right_is_kept() -> None:
    given = {"acme": {"host": "h", "port": 1}, "acme_pause": 0.5}
    conf = Conf.from_dict(given, settings=ALL)
    assert conf.options["acme"] == {"host": "h", "port": 1}
    assert conf.options["acme_pause"] == 0.5
    assert conf.explicit == {"acme", "acme_pause"}
    assert conf.selects("acme")


def test_defaults_stand_in() -> None:
    conf = Conf.from_dict({}, settings=ALL)
    assert conf.options == {"acme": None, "acme_pause": 2, "acme_tries": 3}
    assert conf.explicit == frozenset()
    assert not conf.selects("acme_tries"), "a default selects nothing"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"acme_pause": "2"},
            "Q_CLUSTER['acme_pause'] is '2' (str), expected a number >= 0.5. Write 2.",
        ),
        (
            {"acme_pause": 0.4},
            (
                "Q_CLUSTER['acme_pause'] is 0.4 (float), expected a number >= 0.5."
                " Leave it out for the default, 2."
            ),
        ),
        (
            {"acme_pause": float("inf")},
            (
                "Q_CLUSTER['acme_pause'] is inf (float), expected a number >= 0.5."
                " Leave it out for the default, 2."
            ),
        ),
        (
            {"acme_puase": 1},
            "Q_CLUSTER: unknown key 'acme_puase' - did you mean 'acme_",
        ),
        (
            {"acme": {"port": 70_000}},
            (
                "Q_CLUSTER['acme']['port'] is 70000 (int), expected an int from 1 to 65,535."
                " Leave it out for the default, 7700."
            ),
        ),
        (
            {"acme": {"prot": 1}},
            "Q_CLUSTER['acme']: unknown key 'prot' - did you mean 'port'?",
        ),
        (
            {"acme": {"colour": 1}},
            "Q_CLUSTER['acme']: unknown key 'colour'",
        ),
        (
            {"acme": {"mode": "slow"}},
            (
                "Q_CLUSTER['acme']['mode'] is 'slow' (str), expected 'fast' or 'safe'."
                " Leave it out for the default, 'safe'."
            ),
        ),
        (
            {"acme": {"pin": 1234}},
            (
                "Q_CLUSTER['acme']['pin'] is *** (int), expected a text or None."
                " Leave it out for the default, None."
            ),
        ),
        (
            {"error_reporter": {"acme": {"sink": 1, "more": 2}}},
            (
                "Q_CLUSTER['error_reporter']['acme']['sink'] is 1 (int), expected a text."
                " Leave it out for the default, None."
            ),
        ),
        (
            {"ALT_CLUSTERS": {"slow": {"acme": {"port": 0}}}},
            (
                "Q_CLUSTER['ALT_CLUSTERS']['slow']['acme']['port'] is 0 (int), expected an"
                " int from 1 to 65,535. Leave it out for the default, 7700."
            ),
        ),
    ],
)
def test_each_mistake_has_its_place_and_what_to_write(
    options: dict[str, Any], message: str
) -> None:
    (found,) = told(options)
    assert found.startswith(message)
    with pytest.raises(ConfigError):
        Conf.from_dict(options, settings=ALL)


def test_a_setting_without_effect_is_told() -> None:
    found = advice(Conf.from_dict({"acme_tries": 1}, settings=ALL, secret_key="k"))
    (one,) = [advised for advised in found if advised.id == "qcore.W014"]
    assert one.message == (
        "acme_tries has no effect: it belongs to acme, which is not set."
    )
    given = {"acme_tries": 1, "acme": {}}
    conf = Conf.from_dict(given, settings=ALL, secret_key="k")
    assert "qcore.W014" not in [advised.id for advised in advice(conf)]


def test_what_is_secret_is_shown_nowhere() -> None:
    token = Setting("acme_pass", str | None, "The word.", secret=True)
    given = {
        "acme": {"pin": "canary"},
        "acme_pass": "canary",
        "acme_url": "acme://shop:canary@h/1",
    }
    url = Setting("acme_url", str | None, "The address.", secret=True)
    conf = Conf.from_dict(given, settings=(*ALL, token, url))
    for shown in (repr(conf), str(conf.masked())):
        assert "canary" not in shown
    assert conf.masked()["acme"] == {"pin": "***"}
    assert conf.masked()["acme_url"] == "acme://shop:***@h/1"
    assert conf.options["acme"] == {"pin": "canary"}, "the plugin itself gets it"


@pytest.mark.parametrize(
    ("setting", "expects", "type_text"),
    [
        (PAUSE, "a number >= 0.5", "int | float"),
        (Setting("a", str | None, "A."), "a text or None", "str | None"),
        (
            Setting("a", str | None, "A.", minimum=1),
            "a text of a length >= 1, or None",
            "str | None",
        ),
        (Setting("a", tuple[str, ...], "A."), "a list of texts", "list[str]"),
        (Setting("a", bool, "A.", default=False), "True or False", "bool"),
        (Setting("a", int, "A.", default=1, maximum=9), "an int <= 9", "int"),
        (Setting("a", int, "A.", default=1, expects="a size"), "a size", "int"),
    ],
)
def test_what_is_expected_is_put_into_words(
    setting: Setting, expects: str, type_text: str
) -> None:
    assert (setting.expects, setting.type_text) == (expects, type_text)


def test_lists_are_kept_as_tuples_and_conditions_hold() -> None:
    nodes = Setting("nodes", tuple[str, ...], "Nodes.", default=(), check=all)
    assert nodes.convert(["a", "b"]) == ("a", "b")
    with pytest.raises(ValueError, match="a list of texts"):
        nodes.convert(["a", ""])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            {"type": int, "default": "x"},
            "has the default 'x', which it would not accept",
        ),
        ({"type": int, "default": 0, "minimum": 1}, "has the default 0, which"),
        ({"type": "no such type"}, "cannot be declared with the type 'no such type'"),
    ],
)
def test_a_declaration_that_contradicts_itself(
    words: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match="the setting 'acme'") as raised:
        Setting("acme", words.pop("type"), "Acme.", **words)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("routes", "message"),
    [
        ({"a": {"form": "x"}}, "['a']: unknown key 'form' - did you mean 'from'?"),
        ({"a": 5}, "['a'] is 5 (int), expected a dict."),
        ({5: {}}, " has the key 5 (int), expected a text."),
        (
            {"a": {"from": "x"}, "b": {"from": "x", "to": "shopp"}},
            "['b']['to'] is 'shopp' (str), expected 'depot' or 'shop' - did you mean 'shop'?",
        ),
        (
            {"a": {"from": "x", "to": "SHOP"}},
            "['a']['to'] is 'SHOP' (str), expected 'depot' or 'shop'. Write 'shop'.",
        ),
        (
            {"a": {"from": "x", "stops": [1, "2", 3]}},
            "['a']['stops'][1] is '2' (str), expected an int. Write 2.",
        ),
        (
            {"a": {"from": "x"}, "b": {"from": "shop", "to": "shop"}},
            "['b'] is {'from': 'shop', 'to': 'shop'} (dict), expected two different ends.",
        ),
        (
            {"a": {"from": "x", "pass": 1234}},
            (
                "['a']['pass'] is *** (int), expected a text or None. Leave it out for the default,"
                " None."
            ),
        ),
    ],
)
def test_the_culprit_inside_of_a_value_is_named(
    routes: dict[Any, Any], message: str
) -> None:
    assert problems({"routes": routes}, settings=[ROUTES]) == [
        f"Q_CLUSTER['routes']{message}"
    ]


def test_a_dict_of_dicts_is_kept_and_its_secrets_are_masked() -> None:
    given = {"a": {"from": "x", "pass": "canary", "stops": [1, 2]}}
    conf = Conf.from_dict({"routes": given}, settings=[ROUTES])
    assert conf.options["routes"]["a"] == {
        "from": "x",
        "pass": "canary",
        "stops": (1, 2),
    }
    assert "canary" not in str(conf.masked())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            {"accept_content": ["json", "yaml"]},
            "Q_CLUSTER['accept_content'][1] is 'yaml' (str), expected 'json' or 'pickle'.",
        ),
        (
            {"error_reporter": {"sentry": "canary"}},
            "Q_CLUSTER['error_reporter']['sentry'] is *** (str), expected a dict.",
        ),
        (
            {"signing_keys": ["canary", b"canary"]},
            "Q_CLUSTER['signing_keys'][1] is *** (bytes), expected a text of a length >= 1.",
        ),
        (
            {"commit": "on-commit"},
            (
                "Q_CLUSTER['commit'] is 'on-commit' (str), expected 'on_commit' or 'now' - did you"
                " mean 'on_commit'?"
            ),
        ),
    ],
)
def test_the_culprit_of_a_setting_of_the_core_is_named(
    value: dict[str, Any], message: str
) -> None:
    assert problems(value) == [message]


def test_a_check_that_fails_by_itself_is_told_with_its_setting() -> None:
    def fails(value: str) -> bool:
        raise KeyError(value)

    def quotes(value: str) -> bool:
        raise ValueError(f"no {value}")

    broken = Setting("acme_mode", str, "A mode.", check=fails, expects="a mode")
    (found,) = problems({"acme_mode": "x"}, settings=[broken])
    assert found.startswith(
        "Q_CLUSTER['acme_mode'] is 'x' (str), expected a mode (its check has failed:"
        " KeyError)."
    )
    secret = Setting("acme_pin", str | None, "A pin.", check=quotes, secret=True)
    (found,) = problems({"acme_pin": "canary"}, settings=[secret])
    assert "canary" not in found
    assert "expected a text or None" in found


# -- by a plugin ------------------------------------------------------------------------
def test_declarations_are_collected(fakes: FakePlugins) -> None:
    fakes.add("acme", **declare(ACME, PAUSE))
    registry = Registry()
    assert {ACME, PAUSE} <= set(registry.settings())
    assert registry.plugins[-1].settings == [ACME, PAUSE]


def test_two_distributions_that_declare_one_key(fakes: FakePlugins) -> None:
    fakes.add("acme", "1.0", **declare(PAUSE))
    fakes.add("bolt", "0.3", **declare(PAUSE))
    registry = Registry()
    assert registry.plugins[-1].error == (
        "PluginConflict: Q_CLUSTER['acme_pause'] is declared by both qcore-acme 1.0 and"
        " qcore-bolt 0.3. Uninstall one of them, or name the others in QCORE_PLUGINS."
    )
    assert registry.settings().count(PAUSE) == 1


@pytest.mark.parametrize(
    ("hooks", "message"),
    [
        (declare("acme"), "must return qcore.Setting objects, got str"),
        (
            declare(Setting("workers", int, "Ours.", default=1)),
            "declares Q_CLUSTER['workers'], which is a setting of qcore itself",
        ),
        (
            declare(Setting("acme.port", int, "A port.", default=1)),
            "a dot is allowed only after 'error_reporter'",
        ),
        (
            {"qcore_brokers": brokers(Provider("a", MEMORY, ("workers",)))},
            "claims Q_CLUSTER['workers'], which is a setting of qcore itself",
        ),
        (
            {"qcore_brokers": brokers(Provider("a", MEMORY, ("cache.alias",)))},
            "claims Q_CLUSTER['cache'], which is a setting of qcore itself",
        ),
    ],
    ids=["type", "own", "dot", "claim", "claim inside"],
)
def test_what_a_plugin_may_not_declare(
    fakes: FakePlugins, hooks: dict[str, Any], message: str
) -> None:
    fakes.add("bad", **hooks)
    assert message in str(Registry().plugins[-1].error)


def test_a_hook_that_raises_breaks_its_plugin_only(fakes: FakePlugins) -> None:
    @hookimpl
    def qcore_settings() -> list[Setting]:
        return [Setting("a", int, "A.", default="x")]

    fakes.add("bad", qcore_settings=qcore_settings)
    fakes.add("good", **declare(PAUSE))
    errors = {plugin.name: plugin.error for plugin in Registry().plugins}
    assert "would not accept" in str(errors["bad"])
    assert errors["good"] is None


def test_the_key_of_a_broken_plugin_is_not_unknown(fakes: FakePlugins) -> None:
    """And no default stands in for what it would have provided."""
    fakes.add_broken("acme-queue")
    fakes.add_broker("redis")
    registry = Registry()
    given = {"acme_queue": {}}
    assert problems(given, registry.claims(), registry.settings()) == []
    conf = Conf.from_dict(given, claimed=registry.claims())
    for kind in ("broker", "result store", "scheduler", "cache backend"):
        with pytest.raises(
            PluginMissing, match=r"plugin qcore-acme-queue 2.0.0 is brok"
        ):
            choose(registry, conf, kind)


def test_the_keys_of_first_party_plugins_need_no_plugin(fakes: FakePlugins) -> None:
    """What to install is told by the choice; a misspelt one has its nearest."""
    assert problems({key: {} for key in KEYS}) == []
    assert problems({"mongoo": {}}) == [
        "Q_CLUSTER: unknown key 'mongoo' - did you mean 'mongo'?"
    ]


# -- of this repository -------------------------------------------------------------------
def test_the_core_names_its_plugins_in_one_place() -> None:
    """Of the texts in the core that are a name or a key of a plugin of ours."""
    folder = Path(qcore.__file__).parent
    names = {*KNOWN, *KEYS, *(k.rpartition(".")[2] for v in KNOWN.values() for k in v)}
    found = {
        (str(path.relative_to(folder)), node.value)
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in names
    }
    assert {(path, name) for path, name in found if path != "plugins/known.py"} == {
        # a result store and a scheduler of that name come with the core
        ("plugins/builtin.py", "orm"),
        ("plugins/kinds.py", "orm"),
        # the settings of a project of its own
        ("demo/settings.py", "orm"),
    }
    fields = {setting.name for setting in qcore.conf.fields()}
    assert not fields & KEYS


def test_the_keys_that_are_known_are_those_that_are_declared() -> None:
    registry = Registry(only=KNOWN)
    names = {plugin.name for plugin in registry.plugins if not plugin.error}
    if missing := KNOWN.keys() - names:
        pytest.skip(f"not installed: {', '.join(sorted(missing))}")
    declared = {one.name for one in registry.settings()} - {"memory"}
    assert declared == KEYS | {key for keys in KNOWN.values() for key in keys}
