"""Origin: where this qcore was installed from, and so where its plugins are.

The public index has a foreign ``qcore`` (1.x) and none of our plugins, so that a command
without a place would find nothing. pip and uv write down where a distribution came from
(``direct_url.json``), unless it was a wheelhouse or an index.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from ..masking import mask_url

#: What the README calls the folder of wheels: nothing writes down where it was.
WHEELHOUSE = "dist"

_PACKAGE = Path(__file__).resolve().parents[1]


class Origin(msgspec.Struct, frozen=True):
    """Where qcore came from; at most one of the places is known."""

    checkout: Path | None = None
    """The folder of its sources."""
    editable: bool = False
    """Whether the checkout itself is what runs."""
    wheelhouse: str = ""
    """The folder or address of its wheel."""
    repository: str = ""
    """The address of its repository, as pip takes it: ``git+https://...@main``."""

    @property
    def is_known(self) -> bool:
        """Whether the places of plugins follow from it."""
        return bool(self.checkout or self.wheelhouse or self.repository)

    def words(self, plugin: str) -> str:
        """Return what ``pip install`` is told for a first-party plugin."""
        ours = f"qcore-{plugin}"
        if self.checkout:
            flag = "-e " if self.editable else ""
            core = shlex.quote(f"{self.checkout}[{plugin}]")
            folder = shlex.quote(str(self.checkout / "plugins" / ours))
            return f"{flag}{core} {flag}{folder}"
        if self.repository:
            return f'"{ours} @ {self.repository}#subdirectory=plugins/{ours}"'
        place = shlex.quote(self.wheelhouse or WHEELHOUSE)
        return f'--find-links {place} "qcore[{plugin}]>=2"'


def origin(plugin: str) -> Origin:
    """Return where qcore came from, as far as a plugin of it can be had there."""
    try:
        written = distribution("qcore").read_text("direct_url.json")
    except PackageNotFoundError:  # its sources are on the path
        return _checkout(_PACKAGE.parent, plugin, editable=True)
    try:
        told = json.loads(written or "{}")
    except ValueError:
        told = {}
    return _told(told if isinstance(told, dict) else {}, plugin)


def _told(direct: dict[str, Any], plugin: str) -> Origin:
    """Return what a ``direct_url.json`` says; PEP 610 has its fields."""
    url = str(direct.get("url", ""))
    if source := direct.get("vcs_info"):
        revision = source.get("requested_revision") or source.get("commit_id")
        repository = f"{source.get('vcs')}+{mask_url(url)}@{revision}"
        return Origin(repository=repository)
    if not url.startswith("file:"):
        return Origin()
    path = Path(unquote(urlsplit(url).path))
    if "dir_info" in direct:
        editable = bool(direct["dir_info"].get("editable"))
        return _checkout(path, plugin, editable=editable)
    if any(path.parent.glob(f"qcore_{plugin}-*.whl")):
        return Origin(wheelhouse=str(path.parent))
    return Origin()


def _checkout(folder: Path, plugin: str, *, editable: bool) -> Origin:
    """Return a checkout as the origin, if it has the plugin."""
    if (folder / "plugins" / f"qcore-{plugin}" / "pyproject.toml").is_file():
        return Origin(checkout=folder, editable=editable)
    return Origin()


def command(plugin: str, place: Origin) -> str:
    """Return the line that installs a first-party plugin beside this qcore.

    A ``pip`` on the path may be that of another environment, and those of uv have none.
    """
    python = shlex.quote(sys.executable)
    if not find_spec("pip"):
        how = f"uv pip install --python {python}"
    elif _is_ours(shutil.which("pip")):
        how = "pip install"
    else:
        how = f"{python} -m pip install"
    return f"{how} {place.words(plugin)}"


def _is_ours(program: str | None) -> bool:
    """Whether a program stands beside the interpreter that runs."""
    return program is not None and Path(program).parent == Path(sys.executable).parent
