"""Error reporters made for django-q: found by their group, called as they expect."""

from __future__ import annotations

import sys
import types
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from support.failed_runs import report

from qcore import Provider, hookimpl
from qcore.errors import PluginBroken, PluginMissing, WorkerDied
from qcore.plugins import Registry
from qcore.reporters.base import ErrorReporter

# A distribution as pip would leave it: of the names in its group, one is there, one
# has no report(), one cannot be imported, and django-q names a package it lacks.
MODULE = '''
import sys

class Mailer:
    """Written for django-q."""

    seen = []

    def __init__(self, to, subject="failed"):
        self.to, self.subject = to, subject

    def report(self):
        kind, error, trace = sys.exc_info()
        frames = []
        while trace:
            frames.append((trace.tb_frame.f_code.co_name, trace.tb_frame.f_locals))
            trace = trace.tb_next
        tasks = [held["task"] for _, held in frames if isinstance(held.get("task"), dict)]
        self.seen.append((self.to, kind, error, [name for name, _ in frames], tasks))

class Mute:
    pass
'''
POINTS = """
[djangoq.errorreporters]
mailer = old_reporters:Mailer
mute = old_reporters:Mute
log = old_reporters:Mailer
gone = old_reporters:Gone
sentry = package_that_is_not_there:Sentry
"""


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "old_reporters.py").write_text(MODULE)
    info = tmp_path / "old_reporters-0.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: old-reporters\nVersion: 0.3\n"
    )
    (info / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("QCORE_PLUGINS", raising=False)
    # undone with the test: the module is imported by whoever loads it
    monkeypatch.delitem(sys.modules, "old_reporters", raising=False)
    monkeypatch.setattr("qcore.plugins.registry.entry_points", lambda group: [])


@pytest.fixture
def registry(distribution: None) -> Registry:
    return Registry()


def raised() -> ValueError:
    try:
        raise ValueError("no")
    except ValueError as error:
        return error


def seen(registry: Registry) -> list[tuple[object, ...]]:
    registry.load("error reporter", "mailer")
    found: list[tuple[object, ...]] = sys.modules["old_reporters"].Mailer.seen
    return found


def test_they_are_named_with_their_distribution(registry: Registry) -> None:
    found = {plugin.name: plugin for plugin in registry.plugins}
    assert found["mailer"].label == "old-reporters 0.3"
    assert "mailer" in registry.providers("error reporter")
    assert "error_reporter.mailer" in registry.claims()
    assert "old_reporters" not in sys.modules, "imported on first use"


def test_the_class_is_called_with_the_keywords_of_the_settings(
    registry: Registry,
) -> None:
    kind = registry.load("error reporter", "mailer")
    assert issubclass(kind, ErrorReporter)
    error = raised()
    kind(to="us").report(report(error))
    to, caught, held, frames, tasks = seen(registry)[-1]
    assert (to, caught, held) == ("us", ValueError, error)
    assert frames[-1] == "raised", "the traceback is that of the failure"
    assert tasks == [
        {"id": "1" * 32, "name": "nightly", "func": "shop.tasks.nightly"}
    ], "where django-q-sentry looks for it"
    with pytest.raises(TypeError, match="tto"):
        kind(tto="us")


def test_the_exception_is_left_as_it_was(registry: Registry) -> None:
    error = raised()
    before, context = error.__traceback__, error.__context__
    registry.load("error reporter", "mailer")(to="us").report(report(error))
    assert error.__traceback__ is before
    assert error.__context__ is context


def test_a_killed_worker_is_an_exception_to_them(registry: Registry) -> None:
    registry.load("error reporter", "mailer")(to="us").report(report())
    _, kind, error, _, _ = seen(registry)[-1]
    assert kind is WorkerDied
    assert str(error) == "WorkerDied: killed by SIGKILL"


def test_ours_wins(registry: Registry) -> None:
    provider = registry.providers("error reporter")["log"]
    assert provider.target == "qcore.reporters.log:LogReporter"
    assert [p.name for p in registry.plugins].count("log") == 0


def test_so_does_that_of_a_plugin(
    distribution: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    @hookimpl
    def qcore_error_reporters() -> list[Provider]:
        return [Provider("mailer", "qcore.reporters.log:LogReporter")]

    module = types.ModuleType("fake_mailer")
    vars(module).update(qcore_error_reporters=qcore_error_reporters)
    monkeypatch.setitem(sys.modules, "fake_mailer", module)
    point = EntryPoint("mailer", "fake_mailer", "qcore")
    monkeypatch.setattr("qcore.plugins.registry.entry_points", lambda group: [point])
    found = Registry()
    assert found.load("error reporter", "mailer").__name__ == "LogReporter"
    (plugin,) = [p for p in found.plugins if p.name == "mailer"]
    assert plugin.module == "fake_mailer"


def test_one_whose_package_is_not_installed_is_passed_over(registry: Registry) -> None:
    with pytest.raises(PluginMissing, match=r"\[sentry\]"):
        registry.load("error reporter", "sentry")


@pytest.mark.parametrize(
    ("name", "reason"), [("gone", "no attribute 'Gone'"), ("mute", "no method report")]
)
def test_a_broken_one_says_so_when_it_is_used(
    registry: Registry, name: str, reason: str
) -> None:
    with pytest.raises(PluginBroken, match=reason):
        registry.load("error reporter", name)


def test_the_environment_chooses_among_them(
    distribution: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QCORE_PLUGINS", "mute")
    assert set(Registry().providers("error reporter")) == {"log", "mute"}
