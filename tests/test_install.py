"""What the README says to type installs qcore, and what it installs works.

Slow: builds all wheels once and makes bare environments; the session ``install`` of
noxfile.py runs it. Needs the package index for the dependencies, as users do.
"""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path

import pytest
from support.bare_environment import PLUGINS, ROOT, VERSION, Environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_the_wheelhouse_holds_one_pure_wheel_per_distribution(dist: Path) -> None:
    names = {name.replace("-", "_") for name in ("qcore", *PLUGINS)}
    expected = {f"{name}-{VERSION}-py3-none-any.whl" for name in names}
    assert {path.name for path in dist.iterdir()} == expected


@pytest.mark.parametrize("name", ["qcore", *PLUGINS])
def test_a_wheel_is_typed_and_holds_no_tests(dist: Path, name: str) -> None:
    stem = name.replace("-", "_")
    package = "django_q" if name == "qcore-django-q" else stem
    wheel = zipfile.ZipFile(dist / f"{stem}-{VERSION}-py3-none-any.whl")
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
    assert '--find-links dist "qcore[redis]>=2"' in bare.run("qcore", "plugins")


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
