"""What a project selects is what everything in this process works with."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from chores import strangers
from support.fake_plugins import provide

from qcore import Provider, checks, status
from qcore.cluster.run import run
from qcore.doctor.services import cache as examine_cache
from qcore.doctor.setup import plugins as examine_plugins
from qcore.errors import ConfigError, PluginBroken
from qcore.models import Schedule, Task
from qcore.plugins import Plugin, Registry
from qcore.runtime import current
from qcore.tasks import async_task, fetch, result, result_cached, schedule
from qcore.testing.drain import drain

MEMORY = {"broker_class": "qcore.brokers.memory.MemoryBroker", "commit": "now"}
PATHS = {
    "cache_backend": "chores.strangers.Cache",
    "result_store": "chores.strangers.Store",
    "scheduler_class": "chores.strangers.Clock",
}
SELECTIONS = {
    "by claim": {"acme": {}},
    "by name": dict.fromkeys(PATHS, "acme"),
    "by path": PATHS,
}


CLASSES = {"cache backend": "Cache", "result store": "Store", "scheduler": "Clock"}


def acme(providers: dict[str, Provider]) -> Registry:
    """Return a registry with a plugin that has these, by kind."""
    hooks = [provide(kind, provider) for kind, provider in providers.items()]
    module = SimpleNamespace(**{name: h for hook in hooks for name, h in hook.items()})
    registry = Registry(only=())
    registry.register(module, Plugin("acme", "qcore-acme", "1.0", "qcore_acme"))
    return registry


@pytest.fixture(params=SELECTIONS)
def selected(request, settings, monkeypatch):
    """A project that selects strangers' things of three kinds."""
    providers = {
        kind: Provider("acme", f"chores.strangers:{name}", claims=("acme",))
        for kind, name in CLASSES.items()
    }
    monkeypatch.setitem(current._made, "registry", acme(providers))
    current.reset()
    settings.Q_CLUSTER = MEMORY | SELECTIONS[request.param]
    yield request.param
    strangers.Cache.kept.clear()
    strangers.Clock.kept.clear()
    current.reset()


@pytest.mark.usefixtures("selected")
class TestSelected:
    def test_every_thread_has_its_own(self):
        def look(found):
            current.load()
            found += [current.cache, current.store(), current.scheduler]

        here, there = [], []
        look(here)
        thread = threading.Thread(target=look, args=(there,))
        thread.start()
        thread.join()
        kinds = [strangers.Cache, strangers.Store, strangers.Clock]
        for made in (here, there):
            assert [type(one) for one in made] == kinds
        assert not {id(one) for one in here} & {id(one) for one in there}

    def test_results_are_kept_and_found_there(self, db):
        """Of what runs at once, and of what is drained."""
        at_once = async_task("math.sqrt", 16, sync=True)
        later = async_task("math.sqrt", 25)
        assert result(later) is None
        drain()
        assert [result(at_once), result(later)] == [4.0, 5.0]
        assert type(fetch(later)).__name__ == "FinishedTask"
        assert not Task.objects.exists()

    def test_cached_results_are_in_the_cache(self, db):
        """``cached`` keeps its meaning: the cache, now that which is selected."""
        task_id = async_task("math.sqrt", 16, cached=True)
        drain()
        assert result_cached(task_id) == 4.0
        assert result(task_id) is None
        assert any(task_id in key for key in strangers.Cache.kept)

    def test_status_goes_through_the_cache(self):
        assert status.route() == "cache"
        words = dict.fromkeys(("name", "queue", "host", "version", "broker"), "shop")
        status.publish(
            status.Snapshot(
                cluster="a" * 32,
                state="running",
                started=0.0,
                at=0.0,
                workers=[],
                sentinel_pid=1,
                dispatcher_pid=2,
                **words,
            )
        )
        assert any("a" * 32 in key for key in strangers.Cache.kept)

    def test_schedules_are_kept_there(self, db):
        made = schedule("math.sqrt", 16, name="roots")
        assert strangers.Clock.kept == [made]
        assert not Schedule.objects.exists()

    def test_the_doctor_looks_at_them(self):
        told = [found.fact for found in examine_plugins()]
        for kind, name in CLASSES.items():
            (fact,) = [one for one in told if one.startswith(f"the {kind} is")]
            assert fact.endswith(f"(chores.strangers.{name})")
        assert "through the cache a dictionary" in [f.fact for f in examine_cache()][-1]

    def test_the_checks_are_content(self):
        found = [message for message in checks.check() if message.is_serious()]
        assert found == []

    def test_connections_are_let_go(self):
        closed = []
        current.cache.close = lambda: closed.append("cache")
        current.store().close = lambda: closed.append("store")
        current.close()
        assert sorted(closed) == ["cache", "store"]


@pytest.mark.parametrize("key", PATHS)
@pytest.mark.parametrize(
    ("value", "id", "words"),
    [
        ("nowhere.Thing", "qcore.E001", "cannot be imported"),
        ("pathlib.Path", "qcore.E001", "is not a subclass"),
        ("mysql", "qcore.E002", "of that name is installed"),
        (7, "qcore.E001", "expected a name, a dotted path or None"),
    ],
)
def test_what_is_wrong_is_told_by_check(settings, key, value, id, words):
    settings.Q_CLUSTER = MEMORY | {key: value}
    (message,) = [m for m in checks.check() if m.id == id]
    assert words in message.msg
    assert key in message.msg


@pytest.mark.parametrize(
    ("hooks", "id", "words"),
    [
        (
            {"result store": Provider("acme", "qcore_acme.nowhere:Store", ("acme",))},
            "qcore.E008",
            "'acme' cannot be loaded from 'qcore_acme.nowhere:Store': ModuleNotFound",
        ),
        (
            {"scheduler": Provider("acme", "chores.strangers:Cache", ("acme",))},
            "qcore.E008",
            "not a subclass of qcore.Scheduler",
        ),
        (
            {"broker": Provider("acme", "qcore.brokers.memory:MemoryBroker")},
            "qcore.E007",
            "of qcore-acme 1.0 can never be selected: it claims no key of Q_CLUSTER",
        ),
    ],
    ids=["absent", "another kind", "no claim"],
)
def test_what_a_plugin_does_wrong_is_told(settings, monkeypatch, hooks, id, words):
    monkeypatch.setitem(current._made, "registry", acme(hooks))
    current.reset()
    claimed = {"acme": {}} if "broker" not in hooks else {}
    settings.Q_CLUSTER = MEMORY | claimed
    (message,) = [m for m in checks.check() if m.id == id]
    assert words in message.msg
    if "result store" in hooks:
        with pytest.raises(PluginBroken, match="cannot be loaded"):
            current.store()


def test_a_cluster_does_not_start_without_what_is_selected(settings):
    """It is told before any process is forked."""
    settings.Q_CLUSTER = MEMORY | {"result_store": "nowhere.Store"}
    with pytest.raises(ConfigError, match=r"'nowhere.Store', which cannot be imported"):
        run()
