"""What is printed to install a plugin names the place that qcore came from."""

from __future__ import annotations

import json
import shlex
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from qcore.plugins import origin as module
from qcore.plugins.known import KNOWN, command_of, how_to_install

UNKNOWN = "Here dist is the folder of qcore's wheels. Run: "


class Installed:
    """The distribution qcore, with what its installer has written down."""

    def __init__(self, direct_url: str | None) -> None:
        self.direct_url = direct_url

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return self.direct_url


@pytest.fixture
def came_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Say where qcore was installed from; ``pip`` is that of this environment."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "pip").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    monkeypatch.setattr(module, "find_spec", lambda name: name == "pip")

    def write(told: object) -> None:
        text = None if told is None else json.dumps(told)
        monkeypatch.setattr(module, "distribution", lambda name: Installed(text))

    return write


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with one plugin, in a folder with a space in its name."""
    folder = tmp_path / "my qcore"
    (folder / "plugins" / "qcore-redis").mkdir(parents=True)
    (folder / "plugins" / "qcore-redis" / "pyproject.toml").touch()
    return folder


def test_a_wheelhouse_is_written_down_nowhere(came_from) -> None:
    came_from(None)
    assert how_to_install("redis") == (
        UNKNOWN + 'pip install --find-links dist "qcore[redis]>=2"'
    )


def test_an_editable_checkout_is_named(came_from, checkout: Path) -> None:
    came_from({"url": checkout.as_uri(), "dir_info": {"editable": True}})
    said = how_to_install("redis")
    assert said.startswith("Run: pip install -e ")
    words = shlex.split(said.removeprefix("Run: "))
    plugin = str(checkout / "plugins" / "qcore-redis")
    assert words == ["pip", "install", "-e", f"{checkout}[redis]", "-e", plugin]


def test_a_checkout_that_was_copied_is_copied_again(came_from, checkout: Path) -> None:
    came_from({"url": checkout.as_uri(), "dir_info": {}})
    words = shlex.split(command_of("redis"))
    assert words[2:] == [f"{checkout}[redis]", str(checkout / "plugins/qcore-redis")]


def test_a_plugin_that_the_checkout_lacks_is_sought_among_wheels(
    came_from, checkout: Path
) -> None:
    came_from({"url": checkout.as_uri(), "dir_info": {"editable": True}})
    assert how_to_install("sqs").startswith(UNKNOWN)


def test_the_folder_of_a_wheel_is_named(came_from, tmp_path: Path) -> None:
    (tmp_path / "qcore_redis-2.0.0-py3-none-any.whl").touch()
    wheel = tmp_path / "qcore-2.0.0-py3-none-any.whl"
    came_from({"url": wheel.as_uri(), "archive_info": {}})
    wanted = f'pip install --find-links {tmp_path} "qcore[redis]>=2"'
    assert how_to_install("redis") == f"Run: {wanted}"
    assert how_to_install("sqs").startswith(UNKNOWN)  # it has no such wheel


def test_a_repository_is_named(came_from) -> None:
    came_from(
        {
            "url": "https://git.example/qcore.git",
            "vcs_info": {"vcs": "git", "commit_id": "4af63dc"},
        }
    )
    assert how_to_install("redis") == (
        'Run: pip install "qcore-redis @ git+https://git.example/qcore.git@4af63dc'
        '#subdirectory=plugins/qcore-redis"'
    )


def test_sources_on_the_path_are_their_checkout(came_from, monkeypatch) -> None:
    def not_there(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(module, "distribution", not_there)
    root = Path(module.__file__).resolve().parents[2]
    words = shlex.split(command_of("redis"))
    assert words[2:] == ["-e", f"{root}[redis]", "-e", f"{root}/plugins/qcore-redis"]


def test_a_note_that_is_no_json_names_no_place(came_from, monkeypatch) -> None:
    came_from(None)
    monkeypatch.setattr(module, "distribution", lambda name: Installed("{"))
    assert how_to_install("redis").startswith(UNKNOWN)


def test_the_pip_of_another_environment_is_not_what_to_type(
    came_from, monkeypatch, tmp_path: Path
) -> None:
    came_from(None)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "python"))
    wanted = f"{tmp_path}/venv/python -m pip install --find-links dist"
    assert command_of("redis").startswith(wanted)


def test_an_environment_of_uv_has_no_pip(came_from, monkeypatch) -> None:
    came_from(None)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    wanted = f"uv pip install --python {sys.executable} --find-links dist"
    assert command_of("redis").startswith(wanted)


@pytest.mark.parametrize("name", KNOWN)
def test_no_command_could_bring_the_foreign_package(name: str) -> None:
    """Each names a place of ours, or takes 2.0 and later from a folder of wheels."""
    words = shlex.split(command_of(name))
    assert "--find-links" in words or f"plugins/qcore-{name}" in words[-1]
    assert how_to_install(name).endswith(command_of(name))
