from __future__ import annotations

import re
from importlib.metadata import Distribution
from pathlib import Path

import pytest
from django.core import checks as framework

from qcore import checks, hookimpl
from qcore.conf import advice
from qcore.plugins import Plugin, Registry
from qcore.plugins.known import how_to_install
from qcore.runtime import current

ORM = {"name": "tests", "orm": "default", "timeout": 30}


def ids() -> list[str]:
    return [message.id for message in checks.check()]


def ours() -> list[str]:
    """The ids of the core: plugins have ids of their own."""
    return [id for id in ids() if id.startswith("qcore.")]


@pytest.fixture
def registry(monkeypatch):
    """A registry of the test's own, with what comes with the core."""
    registry = Registry(only=())
    monkeypatch.setitem(current._made, "registry", registry)
    current.reset()
    yield registry
    current.reset()


def test_settings_that_are_right_have_no_messages(settings):
    pytest.importorskip("qcore_orm")
    settings.Q_CLUSTER = ORM
    assert ours() == []


@pytest.mark.fault("J1")
@pytest.mark.fault("J2")
def test_each_mistake_is_an_error_of_its_own(settings):
    settings.Q_CLUSTER = {"worker": 1, "timeout": "60"}
    found = checks.check()
    assert [m.id for m in found] == ["qcore.E001", "qcore.E001"]
    assert all(m.is_serious() and m.hint for m in found)
    assert "did you mean 'workers'?" in found[0].msg
    assert "Q_CLUSTER['timeout'] is '60'" in found[1].msg


def test_a_secret_is_in_no_message(settings):
    settings.Q_CLUSTER = {"signing_keys": "hunter2"}
    assert "hunter2" not in str(checks.check())


@pytest.mark.fault("J5")
@pytest.mark.usefixtures("registry")
def test_a_broker_that_is_not_installed_has_the_pip_line(settings):
    settings.Q_CLUSTER = {"sqs": {}}
    (message,) = [m for m in checks.check() if m.id == "qcore.E002"]
    assert message.msg.endswith(how_to_install("sqs"))


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("sentry", how_to_install("sentry")),
        ("sentri", "Did you mean 'sentry'?"),
        ("pager", "Installed: log."),
    ],
)
def test_a_reporter_that_is_not_installed_is_told(settings, name, told):
    settings.Q_CLUSTER = {
        "broker_class": "qcore.brokers.memory.MemoryBroker",
        "error_reporter": {name: {}},
    }
    (message,) = [m for m in checks.check() if m.id == "qcore.E002"]
    assert message.msg.startswith(f"no error reporter {name!r} is installed")
    assert message.msg.endswith(told)


@pytest.mark.usefixtures("registry")
def test_a_reporter_that_is_installed_is_fine(settings):
    settings.Q_CLUSTER = {
        "broker_class": "qcore.brokers.memory.MemoryBroker",
        "error_reporter": {"log": {}},
    }
    assert "qcore.E002" not in ids()


def test_two_brokers_are_a_conflict(settings):
    pytest.importorskip("qcore_orm")
    pytest.importorskip("qcore_redis")
    settings.Q_CLUSTER = {"orm": "default", "redis": {}}
    assert "qcore.E003" in ids()


@pytest.mark.parametrize("path", ["nowhere.Broker", "os.path.join", "NoDot"])
def test_a_broker_class_that_is_none_is_told(settings, path):
    settings.Q_CLUSTER = {"broker_class": path}
    (message,) = [m for m in checks.check() if m.id == "qcore.E001"]
    assert path in message.msg


@pytest.mark.fault("J5")
def test_a_plugin_that_is_broken_is_told(settings, registry):
    settings.Q_CLUSTER = {"broker_class": "qcore.brokers.memory.MemoryBroker"}
    broken = Plugin("x", "qcore-x", "3.1", "qcore_x", error="ImportError: no driver")
    registry.plugins.append(broken)
    (message,) = [m for m in checks.check() if m.id == "qcore.E004"]
    assert "qcore-x 3.1 cannot be loaded: ImportError: no driver" in message.msg


def test_a_cache_that_is_not_there_is_told(settings):
    settings.Q_CLUSTER = {**ORM, "cache": "defualt"}
    (message,) = [m for m in checks.check() if m.id == "qcore.E006"]
    assert "did you mean 'default'?" in message.msg


def test_a_ledger_that_is_not_there_is_told_and_by_nobody_else(settings):
    settings.Q_CLUSTER = {**ORM, "ledger": "defualt"}
    (message,) = [m for m in checks.check() if m.is_serious() or m.id == "qcore.W013"]
    assert message.id == "qcore.E001"
    assert "Q_CLUSTER['ledger'] is 'defualt'" in message.msg
    assert message.msg.endswith("did you mean 'default'?")


@pytest.mark.fault("J3")
def test_contradictions_are_warnings_with_their_hint(settings):
    settings.Q_CLUSTER = {**ORM, "retry": 20}
    (message,) = [m for m in checks.check() if m.id == "qcore.W001"]
    assert not message.is_serious()
    assert message.hint == advice(current.conf)[0].hint


@pytest.mark.fault("J7")
def test_a_secret_of_a_template_is_told_by_django_itself(settings):
    settings.SECRET_KEY = "django-insecure-" + "x" * 60
    found = framework.run_checks(include_deployment_checks=True)
    assert "security.W009" in {message.id for message in found}


@pytest.mark.fault("J9")
def test_a_key_without_effect_is_a_warning(settings):
    settings.Q_CLUSTER = {**ORM, "has_replica": True}
    assert "qcore.W006" in ids()


# -- hooks of plugins -----------------------------------------------------------------
class Talkative:
    @hookimpl
    def qcore_checks(self, conf):
        return [framework.Warning(f"timeout is {conf.timeout}", id="talkative.W001")]


class WithoutArguments:
    @hookimpl
    def qcore_checks(self):
        return None


class Failing:
    @hookimpl
    def qcore_checks(self, conf):
        raise RuntimeError("out of order")


def test_plugins_add_their_own_and_one_that_fails_does_not_silence_the_rest(
    settings, registry
):
    settings.Q_CLUSTER = {
        "broker_class": "qcore.brokers.memory.MemoryBroker",
        "timeout": 30,
    }
    for made in (Talkative(), WithoutArguments(), Failing()):
        name = type(made).__name__
        registry.register(made, Plugin(name, f"qcore-{name}", "1", "m"))
    found = {message.id: message for message in checks.check()}
    assert found["talkative.W001"].msg == "timeout is 30"
    assert "qcore-Failing" in found["qcore.W013"].msg
    assert "RuntimeError: out of order" in found["qcore.W013"].msg


# -- a foreign qcore ------------------------------------------------------------------
def installed(folder: Path, version: str, record: str | None) -> Distribution:
    info = folder / f"qcore-{version}.dist-info"
    info.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: qcore\nVersion: {version}\n"
    (info / "METADATA").write_text(metadata)
    if record is not None:
        (info / "RECORD").write_text(record)
        # from Python 3.12 on, files that are not there are left out of the list
        file = folder / record.partition(",")[0]
        file.parent.mkdir(exist_ok=True)
        file.touch()
    return Distribution.at(info)


@pytest.mark.parametrize(
    ("version", "record", "foreign"),
    [
        ("1.11.1", "qcore/__init__.py,,\n", True),
        ("1.11.1", None, True),
        ("2.0.0", "qcore/__init__.py,,\n", True),  # another folder than ours
        ("2.0.0", "__editable__.qcore.pth,,\n", False),
        ("2.0.0", None, False),
        ("10.0.0", None, False),
    ],
)
def test_a_foreign_qcore_is_refused(
    settings, tmp_path, monkeypatch, version, record, foreign
):
    settings.Q_CLUSTER = {"broker_class": "qcore.brokers.memory.MemoryBroker"}
    found = installed(tmp_path, version, record)
    monkeypatch.setattr(checks, "distribution", lambda name: found)
    assert ("qcore.E005" in ids()) == foreign


def test_a_rival_of_a_plugin_is_refused(settings, monkeypatch):
    settings.Q_CLUSTER = {"broker_class": "qcore.brokers.memory.MemoryBroker"}
    versions = {"qcore-django-q": "2.0.0", "django-q2": "1.11.0"}
    monkeypatch.setattr(checks, "_version_of", versions.get)
    (told,) = [one for one in checks.check() if one.id == "qcore.E009"]
    assert "django-q2 1.11.0 and qcore-django-q" in told.msg
    assert "pip uninstall django-q2 qcore-django-q" in told.hint
    del versions["qcore-django-q"]
    assert "qcore.E009" not in ids()


def test_our_own_files_are_not_foreign(settings, monkeypatch):
    settings.Q_CLUSTER = {"broker_class": "qcore.brokers.memory.MemoryBroker"}
    root = Path(checks.__file__).parents[1]

    class Installed:
        version = "2.0.0"

        class File(str):
            __slots__ = ()

            def locate(self) -> Path:
                return root / self

        files = (File("qcore/__init__.py"), File("qcore/checks.py"))

    monkeypatch.setattr(checks, "distribution", lambda name: Installed)
    assert "qcore.E005" not in ids()


# -- status ---------------------------------------------------------------------------
def deployed() -> list[str]:
    found = framework.run_checks(tags=["qcore"], include_deployment_checks=True)
    return [message.id for message in found]


@pytest.mark.django_db  # Django 6 looks for tables in every run of the checks
def test_a_private_cache_is_told_on_deployment(settings):
    pytest.importorskip("qcore_orm")
    settings.Q_CLUSTER = ORM
    local = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    settings.CACHES = {"default": local}
    current.reset()
    assert "qcore.I001" in deployed()
    assert "qcore.I001" not in ids()
    shared = {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "c"}
    settings.CACHES = {"default": shared}
    current.reset()
    assert "qcore.I001" not in deployed()


# -- Django's own tasks ---------------------------------------------------------------
@pytest.mark.parametrize(
    ("tasks", "id", "told"),
    [
        ({"OPTIONS": {"max_atempts": 3}}, "qcore.E023", "did you mean 'max_attempts'"),
        ({"BACKEND": "qcore.backend.QcoreBakend"}, "qcore.E023", "QcoreBakend"),
        ({"QUEUES": ["x" * 300]}, "qcore.E021", "has 300 characters"),
    ],
)
def test_the_backends_of_tasks_are_asked(settings, monkeypatch, tasks, id, told):
    registry = framework.registry.registry
    # Django's own check, if another test has imported it
    mine = {
        one for one in registry.get_checks() if "tasks.checks" not in one.__module__
    }
    monkeypatch.setattr(registry, "registered_checks", mine)
    settings.TASKS = {"default": {"BACKEND": "qcore.backend.QcoreBackend", **tasks}}
    (message,) = checks.check_backends()
    assert message.id == id
    assert told in message.msg
    assert checks.check_backends in registry.get_checks()


def test_the_backends_of_others_are_none_of_our_affair(settings):
    settings.TASKS = {"default": {"BACKEND": "shop.Backend", "OPTIONS": {"x": 1}}}
    assert checks.check_backends() == []
    settings.TASKS = {"default": {"BACKEND": "qcore.backend.QcoreBackend"}}
    assert checks.check_backends() == []


# -- the table ------------------------------------------------------------------------
def test_every_id_that_is_given_stands_in_the_table():
    folder = Path(checks.__file__).parent
    given = set()
    names = ("checks.py", "conf/advice.py", "backend/backend.py")
    for path in (folder / name for name in names):
        given |= set(
            re.findall(r'(?:id=|Advice\(\s*)"(qcore\.\w\d+)"', path.read_text())
        )
    assert given == set(checks.IDS)


def test_django_runs_them():
    assert any(
        check is checks.check for check in framework.registry.registry.get_checks()
    )
