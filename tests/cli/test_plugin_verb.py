"""``qcore plugin new`` writes a package that works, and overwrites nothing."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from support.cli_project import clean_environment

from qcore import __version__
from qcore.cli import main
from qcore.plugins.known import how_to_install

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "plugins" / "qcore-example"
MADE = ("__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache")


KINDS = ("broker", "reporter", "cache", "scheduler", "store")
EVERY_KIND = [word for kind in KINDS for word in ("--kind", kind)]


def new(place: Path, name: str, *words: str) -> int:
    return main(["plugin", "new", name, "--path", str(place), *words])


def texts(folder: Path) -> dict[str, str]:
    """Return the text of every file by its path; without what programs leave there."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not set(path.relative_to(folder).parts) & {*MADE}
    }


def test_the_example_is_what_it_writes(tmp_path, monkeypatch):
    """One source: a change goes into qcore/cli/template, and is written from there."""
    monkeypatch.setenv("QCORE_PLUGINS", "")  # the name is taken where it is installed
    assert new(tmp_path, "example", "--version", __version__, *EVERY_KIND) == 0
    there = texts(EXAMPLE)
    del there["certificate.json"]  # what its tests have found, written by them
    assert texts(tmp_path / "qcore-example") == there, (
        "plugins/qcore-example is not what the templates say. Remove that folder and run:"
        " QCORE_PLUGINS= qcore plugin new example --path plugins --version"
        f" {__version__} {' '.join(EVERY_KIND)}"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_template_is_used_and_filled(tmp_path, kind):
    assert new(tmp_path, "task-spool", "--kind", kind) == 0
    written = texts(tmp_path / "qcore-task-spool")
    assert set(written) == {
        "README.md",
        "pyproject.toml",
        "tests/test_contract.py",
        "tests/test_plugin.py",
        "qcore_task_spool/__init__.py",
        f"qcore_task_spool/{kind}.py",
        "qcore_task_spool/py.typed",
        *(
            ["qcore_task_spool/database.py"]
            if kind in {"cache", "scheduler", "store"}
            else []
        ),
    }
    for path, text in written.items():
        assert "$" not in text, path
        if path.endswith(".py"):
            compile(text, path, "exec")
    project = tomllib.loads(written["pyproject.toml"])["project"]
    assert Requirement(project["name"]).name == "qcore-task-spool"
    assert project["version"] == "0.1.0"
    assert project["entry-points"]["qcore"] == {"task-spool": "qcore_task_spool"}


def test_no_template_is_left_over(monkeypatch):
    from qcore.cli.scaffold import Plan

    read = []
    folder = ROOT / "qcore" / "cli" / "template"
    there = {str(path.relative_to(folder)) for path in folder.rglob("*-tpl")}
    fill = Plan._fill

    def noted(self: Plan, source: str | None, *words: Any, **more: str) -> str:
        read.append(source)
        return fill(self, source, *words, **more)

    monkeypatch.setattr(Plan, "_fill", noted)
    Plan("spool", KINDS, "1.0").files()
    assert {*read} - {None} == there


@pytest.mark.once
@pytest.mark.live
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("broker", ["-k", "TestPlugin or limit or folder or path"]),
        ("reporter", []),
        ("cache", []),
        ("scheduler", []),
        ("store", []),
    ],
)
def test_what_is_written_passes_its_tests(tmp_path, kind, words):
    """For the broker some of them: the example, which is the same, runs them all."""
    assert new(tmp_path, "task_spool", "--kind", kind) == 0
    folder = tmp_path / "qcore-task-spool"
    pretend_installed(folder)
    pytest_words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    done = subprocess.run(
        [sys.executable, *pytest_words],
        cwd=folder,
        env=clean_environment(PYTHONPATH=str(folder)),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def pretend_installed(folder: Path) -> None:
    """Write the metadata that pip would make of pyproject.toml."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    info = folder / f"{folder.name.replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    lines = [f"Metadata-Version: 2.1\nName: {project['name']}"]
    lines += [f"Version: {project['version']}"]
    lines += [f"Requires-Dist: {need}" for need in project["dependencies"]]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    points = [
        f"{key} = {value}" for key, value in project["entry-points"]["qcore"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(["[qcore]", *points]) + "\n")


def test_it_says_what_to_type(qcore, tmp_path):
    """Also in a folder without a Django project."""
    done = qcore(tmp_path, "plugin", "new", "qcore-task-spool")
    assert (done.returncode, done.stderr) == (0, "")
    commands = [line[2:] for line in done.stdout.splitlines() if line[:2] == "  "]
    assert commands == [
        "cd qcore-task-spool",
        "pip install -e . pytest",
        "python -m pytest",
    ]
    assert (tmp_path / "qcore-task-spool" / "pyproject.toml").is_file()


def test_nothing_is_overwritten(tmp_path, capsys):
    folder = tmp_path / "qcore-task-spool"
    folder.mkdir()
    (folder / "README.md").write_text("mine")
    assert new(tmp_path, "task-spool") == 5
    assert texts(folder) == {"README.md": "mine"}
    assert "nothing is overwritten" in capsys.readouterr().err


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "qcore-task-spool").mkdir()
    assert new(tmp_path, "task-spool") == 0


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Spool", "small letters and digits"),
        ("task--spool", "small letters and digits"),
        ("9lives", "small letters and digits"),
        ("../spool", "small letters and digits"),
        ("x" * 41, "40 at most"),
        ("qcore-", "small letters and digits"),
        ("redis", how_to_install("redis")),
        ("sentry", "a plugin of qcore itself"),
        ("workers", "is a setting of qcore"),
        ("error_reporter", "is a setting of qcore"),
        ("memory", "is taken: qcore"),
        ("builtin", "is taken: qcore"),
    ],
)
def test_a_name_that_cannot_be_is_refused(tmp_path, capsys, name, reason):
    assert new(tmp_path, name) == 2
    assert reason in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


CLAIMS_A_KEY = """
from qcore import Provider, hookimpl

@hookimpl
def qcore_brokers():
    return [Provider("spooler", "spooler.broker:Broker", claims=("spool_folder",))]
"""


def test_the_key_of_another_plugin_is_taken(qcore, tmp_path):
    (tmp_path / "spooler.py").write_text(CLAIMS_A_KEY)
    info = tmp_path / "spooler-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: spooler\nVersion: 1.0\n"
    )
    (info / "entry_points.txt").write_text("[qcore]\nspooler = spooler\n")
    env = {"PYTHONPATH": str(tmp_path)}
    done = qcore(tmp_path, "plugin", "new", "spool-folder", **env)
    assert done.returncode == 2
    assert "selects an installed plugin" in done.stderr
    done = qcore(tmp_path, "plugin", "new", "spooler", **env)
    assert "is taken: spooler 1.0" in done.stderr


def test_a_name_of_another_kind_is_free(tmp_path):
    assert new(tmp_path, "memory", "--kind", "reporter") == 0


@pytest.mark.parametrize("version", ["new", "1.0.dev1", ""])
def test_a_version_is_numbers(tmp_path, capsys, version):
    assert new(tmp_path, "spool", "--version", version) == 2
    assert "--version 0.1.0" in capsys.readouterr().err


def test_the_place_must_exist(tmp_path, capsys):
    assert new(tmp_path / "nowhere", "spool") == 2
    assert "there is no folder" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_told(tmp_path, capsys, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert new(tmp_path, "spool") == 1
    assert "cannot be written: Permission denied" in capsys.readouterr().err


def test_the_keys_of_a_plugin_with_several_kinds_are_free_too(tmp_path, capsys):
    """They say what they select, so that each can be selected alone."""
    assert new(tmp_path, "spool", "--kind", "store", "--kind", "cache") == 0
    text = (tmp_path / "qcore-spool" / "qcore_spool" / "__init__.py").read_text()
    assert 'claims=("spool",)' in text
    assert 'claims=("spool_cache",)' in text
    assert new(tmp_path, "cpu", "--kind", "store", "--kind", "cache") == 0
    assert new(tmp_path, "result", "--kind", "cache", "--kind", "store") == 2
    assert "'result_store' is a setting of qcore" in capsys.readouterr().err


def test_a_kind_that_there_is_not(tmp_path, capsys):
    assert new(tmp_path, "spool", "--kind", "queue") == 2
    assert "'broker', 'reporter', 'cache'" in capsys.readouterr().err
