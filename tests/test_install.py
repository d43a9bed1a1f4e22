"""What the README says to type installs qcore, and what it installs works.

Slow: builds all wheels once and makes bare environments; the session ``install`` of
noxfile.py runs it. Needs the package index for the dependencies, as users do.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[1]
PLUGINS = sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml"))
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment of its own in ``folder``."""

    folder: Path

    def run(self, program: str, *words: str) -> str:
        """Run a program of the environment in an empty folder; return its output."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        clean.pop("DJANGO_SETTINGS_MODULE", None)
        done = subprocess.run(
            [str(self.folder / "bin" / program), *words],
            cwd=self.folder,
            env=clean,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{program} {words}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def pip(self, *words: str) -> str:
        return self.run("pip", "--disable-pip-version-check", *words)

    def versions(self) -> dict[str, str]:
        """Return what is installed: the version of every distribution."""
        listed = json.loads(self.pip("list", "--format", "json"))
        return {row["name"]: row["version"] for row in listed}

    def plugins(self) -> dict[str, dict[str, object]]:
        """Return what ``qcore plugins --json`` says, by the name of the plugin."""
        said = json.loads(self.run("qcore", "plugins", "--json"))
        return {row["name"]: row for row in said["plugins"]}


@pytest.fixture
def bare(tmp_path: Path) -> Environment:
    """An environment with pip and nothing else."""
    folder = tmp_path / "bare"
    venv.create(folder, with_pip=True)
    return Environment(folder)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheelhouse with every distribution of this repository."""
    folder = tmp_path_factory.mktemp("dist")
    places = [str(ROOT), *(f"{ROOT}/plugins/{name}" for name in PLUGINS)]
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder)]
    built = subprocess.run([*pip, *places], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder


def test_the_wheelhouse_holds_one_pure_wheel_per_distribution(dist: Path) -> None:
    names = {name.replace("-", "_") for name in ("qcore", *PLUGINS)}
    expected = {f"{name}-{VERSION}-py3-none-any.whl" for name in names}
    assert {path.name for path in dist.iterdir()} == expected


@pytest.mark.parametrize("name", ["qcore", *PLUGINS])
def test_a_wheel_is_typed_and_holds_no_tests(dist: Path, name: str) -> None:
    package = name.replace("-", "_")
    wheel = zipfile.ZipFile(dist / f"{package}-{VERSION}-py3-none-any.whl")
    files = [path for path in wheel.namelist() if ".dist-info/" not in path]
    assert f"{package}/py.typed" in files
    assert {path.split("/")[0] for path in files} == {package}
    assert not [path for path in files if "/tests/" in path or "/test_" in path]


def test_the_wheel_of_the_core_holds_every_file_that_is_not_python(
    dist: Path,
) -> None:
    wheel = zipfile.ZipFile(dist / f"qcore-{VERSION}-py3-none-any.whl")
    made = {".pyc", ".pyo"}
    here = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "qcore").rglob("*")
        if path.is_file() and path.suffix not in made
    }
    assert here <= set(wheel.namelist())


def test_an_extra_brings_its_plugin_from_the_wheelhouse(
    bare: Environment, dist: Path
) -> None:
    bare.pip("install", "-q", "--find-links", str(dist), "qcore[redis]>=2")

    installed = bare.versions()
    assert installed["qcore"] == installed["qcore-redis"] == VERSION
    assert "redis" in installed
    assert "qcore-orm" not in installed
    assert bare.run("python", "-c", "import qcore; print(qcore.__version__)") == (
        f"{VERSION}\n"
    )
    assert bare.plugins()["redis"]["state"] == "ok"


def test_the_core_alone_says_what_is_not_installed(
    bare: Environment, dist: Path
) -> None:
    bare.pip("install", "-q", "--find-links", str(dist), "qcore>=2")

    installed = set(bare.versions()) - {"pip", "setuptools"}
    # asgiref, sqlparse: of Django
    assert installed == {
        "qcore", "Django", "pluggy", "msgspec", "cronsim", "asgiref", "sqlparse"
    }  # fmt: skip
    assert "qcore[redis]>=2" in bare.run("qcore", "plugins")


def test_a_checkout_installs_in_editable_form(bare: Environment) -> None:
    plugins = [f"{ROOT}/plugins/qcore-orm", f"{ROOT}/plugins/qcore-redis"]
    words = [word for place in plugins for word in ("-e", place)]
    bare.pip("install", "-q", "-e", f"{ROOT}[orm,redis]", *words)

    found = bare.run("python", "-c", "import qcore; print(qcore.__file__)")
    assert found.strip() == str(ROOT / "qcore/__init__.py")
    plugins_found = bare.plugins()
    assert [plugins_found[name]["state"] for name in ("orm", "redis")] == ["ok", "ok"]


def test_uv_makes_one_environment_of_the_workspace(
    bare: Environment, tmp_path: Path
) -> None:
    bare.pip("install", "-q", "uv")
    copy = tmp_path / "checkout"
    made = shutil.ignore_patterns(".*", "__pycache__", "dist", "_build")
    shutil.copytree(ROOT, copy, ignore=made)
    words = ["sync", "-q", "--all-packages", "--no-dev", "--python", sys.executable]
    bare.run("uv", "--directory", str(copy), "--no-python-downloads", *words)

    synced = Environment(copy / ".venv")
    answer = synced.run(
        "python", "-c", "import qcore, qcore_orm, qcore_redis; print(1)"
    )
    assert answer == "1\n"
