"""What a project gets of each kind: what it names, what a plugin claims, the default."""

from __future__ import annotations

from typing import Any

import pytest
from support.fake_plugins import FakePlugins, provide

from qcore import CacheBackend, Conf, Provider, ResultStore, Scheduler
from qcore.errors import ConfigError, PluginBroken, PluginConflict, PluginMissing
from qcore.plugins import KINDS, Registry
from qcore.plugins.choice import choose, never_selected


class ACache(CacheBackend):
    """Of a stranger."""


class AStore(ResultStore):
    """Of a stranger."""


class AScheduler(Scheduler):
    """Of a stranger."""


class NeedsMore(ResultStore):
    """Cannot be made by qcore."""

    def __init__(self, conf: Conf, address: str) -> None:
        super().__init__(conf)
        self.address = address


HERE = __name__
# kind: the key that names one, the default, a class of a stranger
NAMED = {
    "cache backend": ("cache_backend", "django", ACache),
    "scheduler": ("scheduler_class", "orm", AScheduler),
    "result store": ("result_store", "orm", AStore),
}
each_kind = pytest.mark.parametrize("kind", NAMED)


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> FakePlugins:
    return FakePlugins(monkeypatch)


def add(fakes: FakePlugins, kind: str, name: str, *claims: str) -> None:
    """Install a plugin with one provider of a kind."""
    target = f"{HERE}:{NAMED[kind][2].__name__}"
    fakes.add(name, **provide(kind, Provider(name, target, claims)))


def conf(registry: Registry, **settings: Any) -> Conf:
    return Conf.from_dict(settings, claimed=registry.claims())


def test_the_table_has_every_kind_that_can_be_named() -> None:
    named = {kind.name: kind.key for kind in KINDS.values() if kind.takes_names}
    assert named == {kind: words[0] for kind, words in NAMED.items()}


@each_kind
def test_nothing_is_selected(fakes: FakePlugins, kind: str) -> None:
    """Installing a plugin changes nothing until it is selected."""
    add(fakes, kind, "acme", "acme")
    registry = Registry()
    choice = choose(registry, conf(registry), kind)
    assert (choice.name, choice.because) == (NAMED[kind][1], "")
    assert choice.is_default


@each_kind
def test_a_claim_selects(fakes: FakePlugins, kind: str) -> None:
    add(fakes, kind, "acme", "acme", "acme_url")
    registry = Registry()
    choice = choose(registry, conf(registry, acme_url="x"), kind)
    assert (choice.name, choice.because) == ("acme", "acme_url")
    assert choice.label == "acme of qcore-acme 2.0.0"
    assert choice.load() is NAMED[kind][2]
    assert choose(registry, conf(registry, acme=None), kind).is_default


@each_kind
def test_the_key_of_the_kind_takes_a_name(fakes: FakePlugins, kind: str) -> None:
    """Also of a provider that claims nothing, and of what comes with the core."""
    key, default, made = NAMED[kind]
    add(fakes, kind, "acme")
    registry = Registry()
    assert choose(registry, conf(registry, **{key: "acme"}), kind).load() is made
    choice = choose(registry, conf(registry, **{key: default}), kind)
    assert (choice.name, choice.because) == (default, key)


@each_kind
def test_the_key_of_the_kind_takes_a_path(fakes: FakePlugins, kind: str) -> None:
    key, _, made = NAMED[kind]
    registry = Registry()
    settings = conf(registry, **{key: f"{HERE}.{made.__name__}"})
    assert choose(registry, settings, kind).load() is made


@each_kind
def test_the_key_of_the_kind_wins_over_claims(fakes: FakePlugins, kind: str) -> None:
    """With it a project can have one of two plugins that its settings select."""
    key = NAMED[kind][0]
    add(fakes, kind, "acme", "acme")
    add(fakes, kind, "bolt", "bolt")
    registry = Registry()
    both = {"acme": {}, "bolt": {}}
    assert (
        choose(registry, conf(registry, **both, **{key: "bolt"}), kind).name == "bolt"
    )
    with pytest.raises(PluginConflict) as raised:
        choose(registry, conf(registry, **both), kind)
    assert str(raised.value) == (
        f"Q_CLUSTER selects 2 {kind}s: acme of qcore-acme 2.0.0 with 'acme', bolt of"
        f" qcore-bolt 2.0.0 with 'bolt'. Keep one of these settings, or name one with"
        f" {key!r}."
    )


@each_kind
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("no.such.Thing", "cannot be imported: No module named 'no'"),
        ("qcore.conf.Nothing", "cannot be imported: module"),
        ("pathlib.Path", "is not a subclass of qcore."),
        ("logging.os", "is not a subclass of qcore."),
        (".Relative", "is not a subclass of qcore."),
        ("broken_module_of_a_project.Thing", "cannot be imported: ZeroDivisionError"),
    ],
)
def test_a_path_that_leads_to_none(
    fakes: FakePlugins,
    kind: str,
    path: str,
    words: str,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "broken_module_of_a_project.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    key = NAMED[kind][0]
    registry = Registry()
    with pytest.raises(ConfigError) as raised:
        choose(registry, conf(registry, **{key: path}), kind).load()
    assert str(raised.value).startswith(
        f"Q_CLUSTER[{key!r}] is {path!r}, which {words}"
    )


@each_kind
def test_a_name_that_nobody_has(fakes: FakePlugins, kind: str) -> None:
    key = NAMED[kind][0]
    add(fakes, kind, "acme")
    registry = Registry()
    with pytest.raises(PluginMissing) as raised:
        choose(registry, conf(registry, **{key: "acmee"}), kind)
    message = str(raised.value)
    assert message.startswith(f"Q_CLUSTER[{key!r}] is 'acmee', and no {kind} of that")
    assert "(installed: acme, " in message
    assert "did you mean 'acme'?" in message
    assert "or the dotted path of a class" in message


@each_kind
def test_a_name_whose_plugin_is_broken(fakes: FakePlugins, kind: str) -> None:
    fakes.add_broken("acme")
    registry = Registry()
    key = NAMED[kind][0]
    with pytest.raises(
        PluginMissing, match=r"its plugin qcore-acme 2.0.0 is broken: Mod"
    ):
        choose(registry, conf(registry, **{key: "acme"}), kind)


@each_kind
def test_a_provider_of_another_kind(fakes: FakePlugins, kind: str) -> None:
    """What it makes is looked at, whatever the plugin says of it."""
    fakes.add("acme", **provide(kind, Provider("acme", "pathlib:Path", ("acme",))))
    registry = Registry()
    with pytest.raises(PluginBroken) as raised:
        choose(registry, conf(registry, acme={}), kind).load()
    assert str(raised.value) == (
        f"the {kind} 'acme' of qcore-acme 2.0.0 is 'pathlib:Path', which is not a"
        f" subclass of {KINDS[kind].public_base}"
    )


def test_a_class_that_qcore_cannot_make(fakes: FakePlugins) -> None:
    fakes.add("acme", **provide("result store", Provider("acme", f"{HERE}:NeedsMore")))
    registry = Registry()
    settings = conf(registry, result_store="acme")
    with pytest.raises(PluginBroken) as raised:
        choose(registry, settings, "result store").make(settings)
    assert str(raised.value).startswith(
        "the result store acme of qcore-acme 2.0.0 cannot be made: TypeError: "
    )


def test_one_key_may_select_a_thing_of_each_kind(fakes: FakePlugins) -> None:
    """A service that queues, keeps and counts is one setting."""
    hooks: dict[str, Any] = {}
    for kind, (_, _, made) in NAMED.items():
        target = f"{HERE}:{made.__name__}"
        hooks |= provide(kind, Provider("acme", target, ("acme",)))
    fakes.add("acme", **hooks)
    registry = Registry()
    settings = conf(registry, acme={})
    assert {kind: choose(registry, settings, kind).name for kind in NAMED} == (
        dict.fromkeys(NAMED, "acme")
    )


# -- what a plugin says of itself ---------------------------------------------------
@pytest.mark.parametrize(
    ("provider", "words"),
    [
        (Provider("", "a:B"), "the name of a provider must be a text without dots"),
        (Provider("a.b", "a:B"), "the name of a provider must be a text without dots"),
        (Provider("a", "a.B"), "the target of 'a' must be 'module:Class', got 'a.B'"),
        (Provider("a", "a:B", "acme"), "Write claims=('a',)"),  # type: ignore[arg-type]
        (Provider("a", "a:B", (1,)), "must be a tuple of keys"),  # type: ignore[arg-type]
    ],
    ids=["empty", "dots", "target", "claims", "claim"],
)
def test_a_provider_that_no_setting_could_name(
    fakes: FakePlugins, provider: Provider, words: str
) -> None:
    fakes.add("bad", **provide("scheduler", provider))
    error = Registry().plugins[-1].error
    assert error is not None
    assert error.startswith("PluginBroken: qcore-bad 2.0.0: qcore_schedulers()")
    assert words in error


@pytest.mark.parametrize("claims", [((), ()), (("a",), ("a",))])
def test_a_plugin_that_gives_the_same_twice(
    fakes: FakePlugins, claims: tuple[tuple[str, ...], ...]
) -> None:
    names = ("x", "x") if claims[0] == () else ("x", "y")
    made = [
        Provider(name, f"{HERE}:AStore", some)
        for name, some in zip(names, claims, strict=True)
    ]
    fakes.add("bad", **provide("result store", *made))
    assert "by both qcore-bad 2.0.0 and qcore-bad 2.0.0" in str(
        Registry().plugins[-1].error
    )


@pytest.mark.parametrize(
    ("kind", "claims", "reason"),
    [
        ("broker", (), "it claims no key of Q_CLUSTER"),
        ("broker", ("acme",), None),
        ("result store", (), None),
        ("cache backend", (), None),
        ("scheduler", (), None),
        ("error reporter", (), None),
        ("error reporter", ("error_reporter.acme",), None),
        ("error reporter", ("acme",), "reporters are selected by their names"),
        ("error reporter", ("error_reporter.other",), "selected by their names"),
    ],
)
def test_what_can_never_be_selected(
    kind: str, claims: tuple[str, ...], reason: str | None
) -> None:
    found = never_selected(kind, Provider("acme", "acme:Thing", claims))
    assert (found is None) if reason is None else (reason in str(found))
