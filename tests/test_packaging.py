"""The distributions agree with each other, and with what the documents say of them."""

from __future__ import annotations

import os
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
TEMPLATE = "qcore-example"  # shown by the tutorial, published by nobody
DROP_IN = "qcore-django-q"
#: The verbs that plugins add.
VERBS = {
    DROP_IN: {"migrate-from"},
    "qcore-flows": {"flows", "runs"},
    "qcore-limits": {"limits"},
}
#: The limiters that plugins add.
LIMITERS = {"qcore-redis": {"redis"}}
every_plugin = pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)


@cache
def project(folder: Path) -> dict[str, Any]:
    """Return the ``[project]`` table of a distribution."""
    table = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert isinstance(table, dict)
    return table


def short(plugin: Path) -> str:
    """Return ``redis`` for the folder ``qcore-redis``."""
    return plugin.name.removeprefix("qcore-")


def module(plugin: Path) -> str:
    if plugin.name == DROP_IN:
        return "django_q"  # the name that projects import
    return plugin.name.replace("-", "_")


def test_there_are_plugins() -> None:
    assert {"qcore-orm", "qcore-redis", TEMPLATE} <= {path.name for path in PLUGINS}


def test_all_distributions_have_one_version() -> None:
    versions = {path.name: project(path)["version"] for path in (ROOT, *PLUGINS)}
    assert len(set(versions.values())) == 1, versions


def test_the_version_is_final_and_at_least_2() -> None:
    """A pre-release of ours would lose to the foreign qcore 1.x of the public index."""
    version = project(ROOT)["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert int(version.split(".")[0]) >= 2


def test_the_package_says_the_same_version() -> None:
    source = (ROOT / "qcore/__init__.py").read_text()
    written = re.search(r'^__version__ = "(.+)"$', source, re.MULTILINE)
    assert written is not None
    assert written[1] == project(ROOT)["version"]


def test_the_core_requires_four_packages() -> None:
    names = {re.split(r"[<>=]", need)[0] for need in project(ROOT)["dependencies"]}
    assert names == {"Django", "pluggy", "msgspec", "cronsim"}


def test_every_requirement_on_ourselves_excludes_the_foreign_package() -> None:
    needs = list(project(ROOT)["dependencies"])
    for extra in project(ROOT)["optional-dependencies"].values():
        needs += extra
    for plugin in PLUGINS:
        needs += project(plugin)["dependencies"]
    ours = [need for need in needs if need.startswith("qcore")]
    assert ours
    assert [need for need in ours if not need.endswith(">=2,<3")] == []


@every_plugin
def test_folder_distribution_module_and_entry_point_have_one_name(
    plugin: Path,
) -> None:
    assert project(plugin)["name"] == plugin.name
    points = dict(project(plugin)["entry-points"])
    assert set(points.pop("qcore.verbs", ())) == VERBS.get(plugin.name, set())
    assert set(points.pop("qcore.limiters", ())) == LIMITERS.get(plugin.name, set())
    assert points == {"qcore": {short(plugin): module(plugin)}}
    assert (plugin / module(plugin) / "__init__.py").is_file()
    assert (plugin / module(plugin) / "py.typed").is_file()
    assert (plugin / "README.md").is_file()


@every_plugin
def test_a_plugin_has_an_extra_of_its_name(plugin: Path) -> None:
    extras = project(ROOT)["optional-dependencies"]
    if plugin.name == TEMPLATE:
        assert short(plugin) not in extras
        return
    assert extras[short(plugin)] == [f"{plugin.name}>=2,<3"]


def test_the_extra_all_holds_every_other_extra_of_a_running_project() -> None:
    extras = dict(project(ROOT)["optional-dependencies"])
    assert extras.pop("testing"), "what the kit needs"
    assert extras.pop("django-q"), "what takes the place of a foreign package"
    (need,) = extras.pop("all")
    named = re.search(r"\[(.+)\]", need)
    assert named is not None
    assert set(named[1].split(",")) == set(extras)


@every_plugin
def test_a_plugin_keeps_the_contract_of_plugins_in_its_own_tests(plugin: Path) -> None:
    tests = [path.read_text() for path in (plugin / "tests").glob("test_*.py")]
    assert any("class TestPlugin(PluginContract):" in text for text in tests)


@every_plugin
def test_a_plugin_asks_for_the_python_of_the_core(plugin: Path) -> None:
    assert project(plugin)["requires-python"] == project(ROOT)["requires-python"]


def test_uv_finds_every_plugin_in_the_workspace() -> None:
    uv = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]
    ours = {"qcore", *(plugin.name for plugin in PLUGINS)} - {TEMPLATE}
    assert uv["workspace"]["members"] == ["plugins/*"]
    assert set(uv["sources"]) == ours


@every_plugin
def test_the_wheel_of_a_plugin_holds_its_package_only(plugin: Path) -> None:
    table = tomllib.loads((plugin / "pyproject.toml").read_text())
    wheel = table["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == [module(plugin)]


def test_the_sdist_of_the_core_does_not_hold_the_plugins() -> None:
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]
    include = set(hatch["build"]["targets"]["sdist"]["include"])
    assert include == {"/qcore", "/README.md", "/LICENSE", "/pyproject.toml"}


# Made by tools and builds, and ignored by git.
MADE = re.compile(r"__pycache__|.*\.egg-info|dist|_build|\..*(?<!\.ci)")


@cache
def files() -> list[Path]:
    """Return the files of the checkout; git may be absent where the tests run."""
    found = []
    for folder, inner, names in os.walk(ROOT):
        inner[:] = [name for name in inner if not MADE.fullmatch(name)]
        found += [Path(folder, name) for name in names]
    return found


def test_the_top_level_holds_what_it_should() -> None:
    names = {path.relative_to(ROOT).parts[0] for path in files()}
    plain = {name for name in names if not name.startswith(".")}
    frame = "qcore plugins tests docs noxfile.py pyproject.toml README.md LICENSE"
    assert plain <= set(frame.split())


# `pip install qcore`, "qcore[redis]", qcore-redis: but a path, or a bound or place on its right.
INSTALL = re.compile(r"(?:pip3?|uv add|uvx|pipx)\b[^\n]*?\binstall\b(?P<words>[^\n`]*)")
OURS = re.compile(
    r"(?<![\w./-])qcore(?:-\w+)?(?:\[(?:[^\[\]]|\[[^\[\]]*\])*\])?(?P<bound>(?: @)?[<>=~]*)"
)


def unbounded(line: str) -> list[str]:
    """Return the names of ours that a printed install line would take from the index.

    >>> unbounded('pip install "qcore[redis]"')
    ['qcore[redis]']
    >>> unbounded('pip install "qcore[redis]>=2" -e plugins/qcore-redis')
    []
    """
    return [
        name[0]
        for install in INSTALL.finditer(line)
        for name in OURS.finditer(install["words"])
        if not name["bound"].startswith((">=", " @"))
    ]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("pip install qcore", ["qcore"]),
        ('python -m pip install -U "qcore[sqs,sentry]"', ["qcore[sqs,sentry]"]),
        ("pip install qcore-redis", ["qcore-redis"]),
        ('pip install "qcore[{extra}]"', ["qcore[{extra}]"]),
        ('pip install "qcore[redis]>=2"', []),
        ('pip install --find-links dist "qcore-redis>=2"', []),
        ('pip install -e ".[redis]" -e plugins/qcore-redis', []),
        ("""f'pip install "qcore[{plugin["name"]}]>=2"'""", []),
        ("pip install ./plugins/qcore-redis", []),
        ('pip install "qcore-redis @ git+https://h/qcore.git"', []),
        ("qcore plugins", []),
    ],
)
def test_the_search_for_unbounded_lines_finds_them(line: str, wrong: list[str]) -> None:
    assert unbounded(line) == wrong


def test_no_printed_line_installs_the_foreign_package() -> None:
    kinds = {".py", ".md", ".rst", ".txt", ".toml", ".html", ".yml", ".yaml", ".cfg"}
    this = Path(__file__).resolve()
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {', '.join(names)} without >=2"
        for path in files()
        if path.suffix in kinds and path != this
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (names := unbounded(line))
    ]
    assert not wrong, "\n".join(wrong)


#: The extra ``qcore[all]`` and so on, from an index that does not have our plugins.
NOWHERE = re.compile(r"""pip install(?!.*(?:--find-links|-e |@ |\./))[^`]*\bqcore\[""")


@pytest.mark.parametrize(
    ("line", "is_wrong"),
    [
        ('Run: pip install "qcore[testing]>=2"', True),
        ('pip install --find-links dist "qcore[orm]>=2"', False),
        ('pip install -e ".[orm]" -e plugins/qcore-orm', False),
        ("pip install time-machine", False),
    ],
)
def test_the_search_for_lines_without_a_place_finds_them(
    line: str, is_wrong: bool
) -> None:
    assert bool(NOWHERE.search(line)) is is_wrong


def test_every_printed_line_names_the_place_of_our_wheels() -> None:
    """The public index has none of them, so that the line would find nothing."""
    folders = ("qcore/", "plugins/", "docs/", "README.md")
    told = {"docs/changes/+what-to-install.fixed.md"}  # of a line that was wrong
    wrong = [
        f"{name}:{number}"
        for path in files()
        if (name := str(path.relative_to(ROOT))).startswith(folders)
        and path.suffix in {".py", ".md", ".html"}
        and name not in told
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if NOWHERE.search(line)
    ]
    assert not wrong


def test_every_message_that_says_migrate_can_be_typed() -> None:
    """``manage.py`` alone is a command for those alone who have made it executable."""
    wrong = []
    for path in files():
        name = str(path.relative_to(ROOT))
        if path.suffix == ".py" and name.startswith(("qcore/", "plugins/")):
            text = path.read_text()
            for found in re.finditer(r"manage\.py migrate", text):
                # a message may be several literals
                before = re.sub(r"""[\s"'f]""", "", text[: found.start()][-60:])
                if not before.endswith("python"):
                    wrong.append(f"{name}: {found.start()}")
    assert not wrong


def test_no_file_names_the_folder_of_this_checkout() -> None:
    """A path of one machine in a committed file is wrong on every other."""
    place = f"{ROOT}/"
    named = [
        str(path.relative_to(ROOT))
        for path in files()
        if place in path.read_bytes().decode(errors="replace")
    ]
    assert not named
