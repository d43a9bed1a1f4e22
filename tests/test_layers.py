"""Imports point one way: every module stands in a layer and imports its own or lower.

Reads the source of the core and of every plugin, so that imports inside functions
count like those at the top; imports for type checkers only do not, as they are gone
when the program runs. ``python tests/test_layers.py`` prints the table with what is
in it.
"""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# A package holds for the modules in it that have no entry of their own.
LAYERS: dict[int, tuple[str, str]] = {
    0: (
        "the words: standard library, pluggy, msgspec",
        """clock errors findings masking printable logs plugins.known plugins.origin
        processes health conf backoff envelope features serializers running settled signing
        hookspecs pages""",
    ),
    1: (
        "the public API and the contracts of plugins",
        """plugins runtime ledger_interface signals status tasks brokers results caches reporters
        schedules testing""",
    ),
    2: ("processes, clocks, sockets", "engine"),
    3: (
        "Django adapters",
        """models migrations ledger listing backend results.orm results.pruning results.sql results.quarantine results.acknowledged
        results.cache caches.django caches.raw schedules.orm schedules.firing schedules.failures
        schedules.outbox schedules.outlook schedules.overlap schedules.sync plugins.builtin error_pages""",
    ),
    4: (
        "composition: may import everything below",
        """bench cluster cli __main__ apps admin checks doctor management monitor
        demo""",
    ),
}
LAYER_OF = {name: n for n, (_, names) in LAYERS.items() for name in names.split()}

# Packages that are not ours: which layers may import them.
FOREIGN = {
    "asgiref": {1},  # Django brings it
    "django_tasks": {3},  # only where Django has no tasks of its own
    "pluggy": {0, 1},
    "msgspec": {0, 1, 2, 3, 4},
    "cronsim": {1},
    "django": {1, 3, 4},
    "psutil": {2, 4},
    "rich": {4},
    "setproctitle": {2},
    "pytest": set[int](),
}
# In layer 1 Django is imported where it is used: `import qcore.tasks` stays light,
# and plugins can be listed in a folder without a Django project.
ONLY_INSIDE_FUNCTIONS = {("django", 1), ("asgiref", 1)}

# (module below qcore or package of a plugin, what it imports): why the rule does not
# hold for it.
EXCEPTIONS = {
    ("conf", "django"): "Conf.from_settings reads Q_CLUSTER when it is called",
    ("signals", "django"): "its names are signals of Django's kind",
    ("testing.*", "pytest"): "the kit for authors is pytest tests and fixtures",
    ("testing.*", "hypothesis"): "one test of the kit asks for it, and skips without",
    ("testing.*", "packaging"): "pytest, which the kit needs, brings it",
    **{
        ("django_q", f"qcore.{name}"): "it stands in for these, under django-q's names"
        for name in (
            *("admin", "admin.resubmit", "apps", "cli.info", "cli.memory"),
            *(
                "cli.monitor",
                "cli.exits",
                "cli.output",
                "cluster.run",
                "models",
                "models.schedule_queries",
            ),
            *("management.commands.qcluster", "management.commands.qinfo"),
            *("management.commands.qmemory", "management.commands.qmonitor"),
            "cli",
        )
    },
    **{
        ("django_q", name): "used where it is installed, as django-q does"
        for name in ("croniter", "psutil", "setproctitle")
    },
    **{
        ("qcore_flows", f"qcore.{name}"): "its verb writes as all verbs do"
        for name in ("cli.actions", "cli.exits", "cli.output", "monitor.text")
    },
    **{
        ("qcore_limits", f"qcore.{name}"): "its verb and its page are as all others"
        for name in (
            "cli.actions",
            "cli.exits",
            "cli.output",
            "monitor.text",
            "admin.base",
        )
    },
    ("qcore_mongo", "bson"): "pymongo brings it",
    **{
        ("qcore_orm", f"qcore.{name}"): "its page of the admin is one of the family"
        for name in ("admin.base", "admin.cancelling", "admin.shown", "apps")
    },
    ("qcore_orm", "psycopg"): "only where Django's database is PostgreSQL",
    **{
        ("qcore_dashboard", f"qcore.{name}"): "it shows in the web what these show"
        for name in (
            *("admin.base", "admin.resubmit", "admin.shown", "apps", "cli.plugins"),
            *("cli", "cli.project", "doctor.examination", "ledger.place"),
            *("ledger.survey", "models", "models.tables"),
            *("listing", "listing.finished", "listing.places", "listing.query"),
            *("monitor.look", "monitor.text", "monitor", "admin"),
        )
    },
    ("qcore_dashboard", "msgspec"): "the core's tasks and pauses are structures of it",
    ("qcore_prometheus", "django"): "its view is a view of Django",
    ("qcore_redis", "django"): "what qcore_checks returns is Django's",
    ("qcore_redis", "django_redis"): "only where Q_CLUSTER names such a connection",
}

DRIVERS = {"redis", "boto3", "botocore", "pymongo", "iron_mq", "sentry_sdk", "rollbar"}
DRIVERS |= {"prometheus_client", "opentelemetry"}
PLUGINS = sorted(ROOT.glob("plugins/*/pyproject.toml"))


def package_of(project: Path) -> str:
    """Return the package of a plugin; that of the drop-in has the name projects know."""
    name = project.parent.name
    return "django_q" if name == "qcore-django-q" else name.replace("-", "_")


#: The packages of this repository.
OURS = ["qcore", *map(package_of, PLUGINS)]


@dataclass(frozen=True, slots=True)
class Import:
    """``module`` (below ``qcore``, or a plugin's) imports ``target`` on ``line``."""

    module: str
    target: str
    line: int
    at_top: bool

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


def dotted(path: Path, root: Path) -> str:
    """Return the name of a module relative to ``root``; ``""`` for the root itself."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules_of(package: str) -> dict[str, Path]:
    """Return every module of a package of ours by its name below it."""
    roots = {package_of(project): project.parent for project in PLUGINS}
    root = roots.get(package, ROOT) / package
    return {dotted(path, root): path for path in sorted(root.rglob("*.py"))}


def core_modules() -> dict[str, Path]:
    """Return every module of the core by its name below ``qcore``."""
    return modules_of("qcore")


def layer_of(module: str) -> int | None:
    """Return the layer of a core module; None when the table does not know it."""
    while module and module not in LAYER_OF:
        module = module.rpartition(".")[0]
    return LAYER_OF.get(module)


def imports_of(path: Path, package: str, module: str) -> Iterator[Import]:
    """Yield the imports of one file that happen at run time, with absolute names."""
    tree = ast.parse(path.read_text(), str(path))
    here = f"{package}.{module}" if module else package
    if path.name != "__init__.py":
        here = here.rpartition(".")[0]
    hidden = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        for target in targets(node, here):
            yield Import(module, target, getattr(node, "lineno", 0), id(node) in top)


def targets(node: ast.AST, here: str) -> list[str]:
    """Return the absolute names that an import statement in package ``here`` loads."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module or ""
    if node.level:
        parents = here.split(".")[: len(here.split(".")) - node.level + 1]
        base = ".".join([*parents, *([base] if base else [])])
    return [resolve(base, alias.name) for alias in node.names]


def resolve(base: str, name: str) -> str:
    """Return the module meant by ``from base import name``."""
    package = base.split(".", maxsplit=1)[0]
    inner = f"{base}.{name}".removeprefix(f"{package}.")
    if package in OURS and inner in modules_of(package):
        return f"{package}.{inner}"
    if base in FACADES and name in facade(base):
        return facade(base)[name]
    return base


#: Packages that load their public names on first use, by a table ``_PUBLIC``.
FACADES = ("qcore", "qcore.tasks")


@cache
def facade(package: str = "qcore") -> dict[str, str]:
    """Return the public names of a package and the modules they are loaded from."""
    path = ROOT / package.replace(".", "/") / "__init__.py"
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_PUBLIC":
            public = ast.literal_eval(node.value)
            assert isinstance(public, dict)
            return {
                name: resolve_name(f".{to.removeprefix('.')}", package)
                for name, to in public.items()
            }
    raise AssertionError(f"{path} has no table _PUBLIC")


@cache
def core_imports() -> list[Import]:
    return [
        found
        for module, path in core_modules().items()
        for found in imports_of(path, "qcore", module)
    ]


def excepted(module: str, package: str) -> bool:
    families = (module, f"{module.split('.', maxsplit=1)[0]}.*")
    return any((family, package) in EXCEPTIONS for family in families)


def foreign(target: str) -> str | None:
    """Return the package of an import that is neither ours nor of the library."""
    package = target.split(".", maxsplit=1)[0]
    ours = package == "qcore"
    return None if ours or package in sys.stdlib_module_names else package


def show() -> str:
    """Draw the table, the highest layer first, with the modules found in each."""
    lines = []
    for number, (title, _) in sorted(LAYERS.items(), reverse=True):
        lines.append(f" {number}  {title}")
        found = [name for name in core_modules() if name and layer_of(name) == number]
        lines += [f"      {name}" for name in found]
    lines.append("    plugins/qcore-* import layers 0 and 1 and their driver")
    return "\n".join(lines)


def test_the_map_in_the_docstring_of_the_package_has_every_module() -> None:
    text = (ROOT / "qcore" / "__init__.py").read_text()
    shown = text.partition("::\n\n")[2].partition("\n\n")[0]
    shown = {word for line in shown.splitlines() for word in line.split("   ")[1:]}
    words = {name for part in shown for name in part.split() if part.strip()}
    modules = {name.partition(".")[0] for name in core_modules() if name}
    assert modules - words == {"__main__", "migrations"}


def listed_modules(package: Path) -> list[str]:
    """Return the modules that the docstring of a package lists, each with its purpose."""
    text = ast.get_docstring(ast.parse(package.read_text())) or ""
    lines = re.findall(
        r"^    ((?:\w+ )*\w+)  +\S", text.partition("::")[2], re.MULTILINE
    )
    return " ".join(lines).split()


PACKAGES = sorted(
    path
    for folder in ("qcore", "plugins")
    for path in (ROOT / folder).rglob("__init__.py")
    if "::" in path.read_text()
)


def test_modules_that_the_docstring_of_a_package_lists_exist() -> None:
    listed = {package: listed_modules(package) for package in PACKAGES}
    assert sum(map(len, listed.values())) > 100
    missing = [
        f"{package.relative_to(ROOT)}: {name}"
        for package, names in listed.items()
        for name in names
        if not (package.parent / f"{name}.py").exists()
        and not (package.parent / name).is_dir()
    ]
    assert missing == []


def test_the_manual_has_the_same_layers() -> None:
    text = (ROOT / "docs/explanation/internals.md").read_text()
    shown = {
        int(row[1]): set(re.findall(r"`([\w.]+)`", row[0]))
        for row in re.finditer(r"^\| (\d) \w.*$", text, re.MULTILINE)
    }
    assert shown == {
        layer: {name for name in names.split() if name != "__main__"}
        for layer, (_, names) in LAYERS.items()
    }


def test_every_module_has_a_layer() -> None:
    print(f"\n{show()}")
    strangers = [name for name in core_modules() if name and layer_of(name) is None]
    assert not strangers, (
        f"qcore has modules in no layer: {', '.join(strangers)}. "
        "Add each to LAYERS in tests/test_layers.py."
    )


def test_imports_point_down() -> None:
    wrong = []
    for found in core_imports():
        target = found.target.removeprefix("qcore").lstrip(".")
        if foreign(found.target) or not found.target.startswith("qcore") or not target:
            continue
        mine, theirs = layer_of(found.module), layer_of(target)
        if mine is None or theirs is None:
            continue  # the facade, or a stranger: the test above names it
        if theirs > mine and not excepted(found.module, target):
            wrong.append(f"{found} (layer {mine} to {theirs})")
    hint = "imports that point up (a module may be in the wrong layer of LAYERS):"
    assert not wrong, "\n".join([hint, *wrong])


def test_the_facade_shows_only_the_public_layers() -> None:
    high = {
        name: to
        for package in FACADES
        for name, to in facade(package).items()
        if (layer_of(to.removeprefix("qcore.")) or 0) > 1
    }
    assert not high


@pytest.mark.parametrize("package", FACADES)
def test_type_checkers_see_what_a_package_loads_on_first_use(package: str) -> None:
    path = ROOT / package.replace(".", "/") / "__init__.py"
    seen = {
        alias.name: resolve_name(f"{'.' * node.level}{node.module}", package)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
        if alias.asname == alias.name
    }
    assert seen == facade(package)


@pytest.mark.live
@pytest.mark.parametrize("package", FACADES)
def test_a_package_lists_what_it_loads_on_first_use(package: str) -> None:
    """An interactive Python completes names from that list."""
    code = f"import {package} as p; print(sorted(set(p.__all__) - set(dir(p))))"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("package", FACADES)
def test_no_module_has_the_name_of_what_its_package_offers(package: str) -> None:
    """Else the name would mean the module as soon as anybody has imported that."""
    names = {f"{package}.{name}".removeprefix("qcore.") for name in facade(package)}
    assert not names & core_modules().keys()


def test_foreign_packages_stay_in_their_layers() -> None:
    wrong = []
    for found in core_imports():
        package = foreign(found.target)
        layer = layer_of(found.module)
        if package is None or layer is None or excepted(found.module, package):
            continue
        if layer not in FOREIGN.get(package, set()):
            wrong.append(str(found))
        elif found.at_top and (package, layer) in ONLY_INSIDE_FUNCTIONS:
            wrong.append(f"{found} at the top, not where it is used")
    assert not wrong, "\n".join(["foreign imports in the wrong layer:", *wrong])


def test_every_exception_is_still_needed() -> None:
    used = set()
    for found in core_imports():
        package = foreign(found.target) or found.target.removeprefix("qcore.")
        for family in (found.module, f"{found.module.split('.')[0]}.*"):
            used.add((family, package))
    families = {name.split(".")[0] for name in core_modules()}
    there = [pair for pair in EXCEPTIONS if pair[0].split(".")[0] in families]
    stale = [pair for pair in there if pair not in used]
    assert not stale, f"remove from EXCEPTIONS: {stale}"


def test_no_module_of_the_core_imports_a_driver() -> None:
    assert not [
        str(found) for found in core_imports() if found.target.split(".")[0] in DRIVERS
    ]


def test_the_engine_knows_neither_django_nor_the_orm() -> None:
    engine = [found for found in core_imports() if found.module.startswith("engine")]
    assert not [str(found) for found in engine if "django" in found.target]


@pytest.mark.parametrize("package", OURS)
def test_modules_do_not_import_each_other_in_a_circle(package: str) -> None:
    """An import inside of a function counts, too: it only hides the circle."""
    graph: dict[str, set[str]] = {}
    modules = modules_of(package)
    for module, path in modules.items():
        for found in imports_of(path, package, module):
            target = found.target.removeprefix(f"{package}.")
            if target in modules and target != module:
                graph.setdefault(module, set()).add(target)
    assert graph or len(modules) < 3
    tuple(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


@pytest.mark.parametrize("project", PLUGINS, ids=lambda path: path.parent.name)
def test_a_plugin_imports_the_public_layers_and_its_driver(project: Path) -> None:
    needs = tomllib.loads(project.read_text())["project"]["dependencies"]
    package = package_of(project)
    allowed = {import_name(need) for need in needs} | {"qcore", package}
    if package in {
        *("qcore_orm", "qcore_limits", "qcore_flows", "qcore_dashboard", "django_q")
    }:
        allowed.add("django")  # the core already requires it
    optional = {target for module, target in EXCEPTIONS if module == package}
    folder = project.parent / package
    wrong = []
    for path in sorted(folder.rglob("*.py")):
        for found in imports_of(path, package, dotted(path, folder)):
            outside = foreign(found.target)
            target = found.target.removeprefix("qcore").lstrip(".")
            if outside is not None and outside not in allowed | optional:
                wrong.append(f"{found}, which it does not require")
            public = (layer_of(target) or 0) <= 1 or found.target in optional
            if outside is None and not public:
                wrong.append(f"{found}, which is not public")
    assert not wrong, "\n".join([f"{project.parent.name}:", *wrong])


def import_name(requirement: str) -> str:
    """Return ``iron_mq`` for ``iron-mq>=0.9``, and ``opentelemetry`` for its API."""
    name = requirement
    for mark in "[<>=!~; ":
        name = name.split(mark)[0]
    return name.replace("-", "_").removesuffix("_api")


def loaded_after(statement: str) -> set[str]:
    """Return the top packages that a fresh interpreter has loaded after a statement."""
    script = (
        f"import sys; {statement}; print(*{{m.split('.')[0] for m in sys.modules}})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.live
def test_import_qcore_is_light() -> None:
    heavy = {"django", "msgspec", "pluggy", "cronsim", "asyncio", "logging", *DRIVERS}
    assert not loaded_after("import qcore") & heavy


@pytest.mark.live
def test_the_decorator_needs_no_django() -> None:
    assert "django" not in loaded_after("from qcore import task; task(timeout=3)(len)")


@pytest.mark.parametrize("project", PLUGINS, ids=lambda path: path.parent.name)
def test_importing_a_plugin_does_not_import_its_driver(project: Path) -> None:
    package = package_of(project)
    assert not loaded_after(f"import {package}") & {*DRIVERS, "django"}


if __name__ == "__main__":
    print(show())
