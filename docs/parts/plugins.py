"""The plugins of this repository, from their projects and their hooks."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

from qcore.plugins import KINDS, Provider

ROOT = Path(__file__).resolve().parents[2]


def found() -> Iterator[tuple[Path, dict[str, str], ModuleType]]:
    """Yield folder, project and module of each; none of them needs to be installed.

    A plugin without a README is not ready: the tables link to it.
    """
    for readme in sorted(ROOT.glob("plugins/*/README.md")):
        path = readme.with_name("pyproject.toml")
        project = tomllib.loads(path.read_text())["project"]
        if str(path.parent) not in sys.path:
            sys.path.append(str(path.parent))
        for module in project["entry-points"]["qcore"].values():
            yield path.parent, project, import_module(module)


def providers(module: ModuleType, kind: str) -> list[Provider]:
    """Return what a plugin can make of one kind."""
    return list(getattr(module, KINDS[kind].hook, list)())


def table() -> str:
    """Return one row per plugin, with links from the folder of plugins."""
    rows = [
        "| plugin | gives | selected by | what it is |",
        "| --- | --- | --- | --- |",
    ]
    for folder, project, module in found():
        made = [(kind, one) for kind in KINDS for one in providers(module, kind)]
        gives = ", ".join(f"{kind} {one.name}" for kind, one in made) or "-"
        keys = ", ".join(f"`{key}`" for _, one in made for key in one.claims)
        link = f"[{folder.name}]({folder.name}/README.md)"
        rows.append(f"| {link} | {gives} | {keys or '-'} | {project['description']} |")
    return "\n".join(rows)


def index() -> str:
    """Return the same with links from the manual."""
    return table().replace("](", "](../../plugins/")
