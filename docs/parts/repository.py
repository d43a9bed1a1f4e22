"""The map of the repository: every folder and every module, each with what is in it."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: What is in the folders that hold no docstring of their own.
FOLDERS = {
    ".ci": "what continuous integration runs, and parts of `noxfile.py`",
    ".github": "how to contribute, report and release; templates",
    "docs": "the manual, and the code that writes its generated parts",
    "plugins": "one folder for each plugin, each a distribution of its own",
    "qcore": "the core: the Django app and the engine",
    "tests": "the tests of the core, of the repository, and the servers that they start",
    "docs/captures": "what commands printed in a real run, for the pages that show it",
    "docs/changes": "one fragment for each change, for the next changelog",
    "docs/decisions": "the reasons of the design, one page for each decision",
    "docs/explanation": "how qcore works, and why it is made so",
    "docs/how-to": "guides, each with a goal",
    "docs/images": "pictures",
    "docs/reference": "descriptions to look things up in, most of them generated",
    "docs/schemas": "a JSON Schema for each document of `--json`",
    "docs/tutorial": "lessons that are typed from top to bottom",
    "qcore/management": "Django's commands: `manage.py qcluster` and the like",
    "qcore/migrations": "the migrations of the tables of the core",
}  # fmt: skip

#: What a build or a tool leaves, and what Python finds by itself.
IGNORED = {"__pycache__", "_build", "build", "dist"}


def top() -> str:
    """Return the folders of the repository.

    Raises:
        SystemExit: ``FOLDERS`` describes a folder that is gone.
    """
    gone = [name for name in FOLDERS if not (ROOT / name).is_dir()]
    if gone:
        raise SystemExit(
            f"FOLDERS of docs/parts/repository.py has {', '.join(gone)}, which is gone."
            " Delete the line."
        )
    return _table([*_folders(ROOT), ROOT / ".ci", ROOT / ".github"])


def core() -> str:
    """Return the packages and modules of ``qcore``."""
    modules = [
        path for path in (ROOT / "qcore").glob("*.py") if not path.name.startswith("__")
    ]
    return _table([*_folders(ROOT / "qcore"), *modules])


def manual() -> str:
    """Return the folders of ``docs``."""
    return _table(_folders(ROOT / "docs"))


def _folders(parent: Path) -> list[Path]:
    return [
        path
        for path in parent.iterdir()
        if path.is_dir()
        and path.name not in IGNORED
        and not path.name.startswith(".")
        and not path.name.endswith(".egg-info")
        and any(file.is_file() for file in path.iterdir())
    ]


def _table(paths: list[Path]) -> str:
    rows = ["| where | what |", "| --- | --- |"]
    for path in sorted(paths):
        name = path.relative_to(ROOT).as_posix()
        shown = f"{name}/" if path.is_dir() else name
        rows.append(f"| `{shown}` | {_about(path, name)} |")
    return "\n".join(rows)


def _about(path: Path, name: str) -> str:
    """Return one sentence of what is in a folder or a module.

    Raises:
        SystemExit: nothing says it.
    """
    if name in FOLDERS:
        return FOLDERS[name]
    source = path / "__init__.py" if path.is_dir() else path
    text = source.read_text() if source.exists() else ""
    docstring = ast.get_docstring(ast.parse(text))
    if docstring is None:
        raise SystemExit(
            f"the map of the repository does not know {name}. Write what is in it into"
            f" FOLDERS of docs/parts/repository.py, or into a docstring of {source.name}."
        )
    line = docstring.partition("\n\n")[0].replace("\n", " ")
    return line.removesuffix(".").replace("``", "`").replace("|", "\\|")
