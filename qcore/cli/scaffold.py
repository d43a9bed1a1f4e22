"""A new plugin from the templates in ``template/``: its files as text, and its names.

The folder ``plugins/qcore-example`` of the repository is what this writes for a plugin
called "example" with one of each kind; a test keeps the two equal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from ..conf import fields
from ..errors import ConfigError, QcoreError
from ..plugins.known import KNOWN, how_to_install
from ..plugins.registry import Registry

# Letters and digits in words with single dashes between them: valid as a part of the
# name of a distribution, and as a module when its dashes are underscores.
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 40  # letters; longer ones break the lines of the templates

_SHARED = {
    "pyproject.toml": "pyproject.toml-tpl",
    "tests/test_plugin.py": "plugin.py-tpl",
    "{module}/py.typed": None,
}
_DATABASE = {"{module}/database.py": "database.py-tpl"}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of plugin that can be written."""

    provides: str  # the kind of provider, as the registry calls it
    folder: str  # of its templates; also the name of its module
    class_suffix: str
    description: str
    summary: str
    shared: dict[
        str, str
    ]  # path in the plugin -> template, which other kinds have, too

    def template(self, name: str) -> str:
        """Return the path of one of its templates."""
        return f"{self.folder}/{name}-tpl"


KINDS = {
    "broker": Kind(
        provides="broker",
        folder="broker",
        class_suffix="Broker",
        description="A small broker for qcore that keeps its queue in a folder",
        summary="A small broker that keeps its queue in a folder.",
        shared={},
    ),
    "reporter": Kind(
        provides="error reporter",
        folder="reporter",
        class_suffix="Reporter",
        description="An error reporter for qcore that appends failures to a file",
        summary="An error reporter that appends the failures of tasks to a file.",
        shared={},
    ),
    "cache": Kind(
        provides="cache backend",
        folder="cache",
        class_suffix="Cache",
        description="A cache backend for qcore that keeps values in a file",
        summary="A cache backend that keeps values in a file.",
        shared=_DATABASE,
    ),
    "scheduler": Kind(
        provides="scheduler",
        folder="scheduler",
        class_suffix="Scheduler",
        description="A scheduler for qcore that keeps schedules in a file",
        summary="A scheduler that keeps schedules in a file.",
        shared=_DATABASE,
    ),
    "store": Kind(
        provides="result store",
        folder="store",
        class_suffix="Store",
        description="A result store for qcore that keeps results in a file",
        summary="A result store that keeps results in a file.",
        shared=_DATABASE,
    ),
}
_SEVERAL = "A small plugin for qcore: {}, in files"


@dataclass(frozen=True, slots=True)
class Plan:
    """A plugin that is to be written.

    Args:
        name: of the entry point, with dashes: ``"task-spool"``.
        kinds: keys of ``KINDS``, one or more.
        version: of the distribution.
    """

    name: str
    kinds: tuple[str, ...]
    version: str

    @property
    def distribution(self) -> str:
        """The name of the distribution and of its folder: ``"qcore-task-spool"``."""
        return f"qcore-{self.name}"

    @property
    def base(self) -> str:
        """The name as a part of Python's names: ``"task_spool"``."""
        return self.name.replace("-", "_")

    def key(self, kind: str) -> str:
        """Return the key of Q_CLUSTER that selects what it has of a kind.

        It is the name; in a plugin of several kinds that of the first, and the others
        say in theirs what they are, so that each can be selected alone.
        """
        return self.base if kind == self.kinds[0] else f"{self.base}_{kind}"

    def files(self) -> dict[str, str]:
        """Return the text of each file by its path below the folder of the plugin."""
        found = {
            path.format(module=self._words()["module"]): self._fill(source)
            for path, source in _SHARED.items()
        }
        for place, name in enumerate(self.kinds):
            kind = KINDS[name]
            test = "test_contract" if place == 0 else f"test_{name}"
            sources = {
                f"{{module}}/{name}.py": kind.template(f"{name}.py"),
                f"tests/{test}.py": kind.template("contract.py"),
                **kind.shared,
            }
            for path, source in sources.items():
                found[path.format(**self._words())] = self._fill(source, name)
        found["README.md"] = self._readme()
        found[f"{self._words()['module']}/__init__.py"] = self._init()
        return dict(sorted(found.items()))

    def _init(self) -> str:
        hooks, settings = (
            [
                self._fill(KINDS[kind].template(part), kind).strip("\n")
                for kind in self.kinds
            ]
            for part in ("hook.py", "setting.py")
        )
        words = {"hooks": "\n\n\n".join(hooks), "settings": "\n".join(settings)}
        return self._fill("init.py-tpl", self.kinds[0], **words)

    def _readme(self) -> str:
        first, *others = (
            self._fill(KINDS[kind].template("README.md"), kind) for kind in self.kinds
        )
        parts = [first]
        for kind, text in zip(self.kinds[1:], others, strict=True):
            _, _, body = text.partition("\n")  # without its title
            body = body.replace("test_contract.py", f"test_{kind}.py")
            parts.append(
                f"\n## The {KINDS[kind].provides}\n" + body.replace("\n## ", "\n### ")
            )
        return "".join(parts)

    def _words(self, kind: str | None = None) -> dict[str, str]:
        named = KINDS[kind or self.kinds[0]]
        description, summary = named.description, named.summary
        if len(self.kinds) > 1:
            several = ", ".join(KINDS[one].provides for one in self.kinds)
            description = _SEVERAL.format(several)
            summary = f"{description}."
        return {
            "name": self.name,
            "key": self.key(kind or self.kinds[0]),
            "module": f"qcore_{self.base}",
            "distribution": self.distribution,
            "class_name": self.base.title().replace("_", "") + named.class_suffix,
            "description": description,
            "summary": summary,
            "version": self.version,
        }

    def _fill(self, source: str | None, kind: str | None = None, **more: str) -> str:
        if source is None:
            return ""
        text = (files(__package__) / "template" / source).read_text("utf-8")
        return Template(text).substitute(self._words(kind), **more)

    def write(self, folder: Path) -> None:
        """Write the files into a folder, which is new or empty.

        Raises:
            QcoreError: the system refuses.
        """
        try:
            for path, text in self.files().items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_text(text, "utf-8")
        except OSError as error:
            raise QcoreError(f"{folder} cannot be written: {error.strerror}") from error


def plan(name: str, kinds: Sequence[str], version: str) -> Plan:
    """Return the plan of a plugin whose name is good and free.

    Args:
        name: with or without the prefix ``qcore-``; underscores count as dashes.
        kinds: keys of ``KINDS``, one or more; of the same twice it is one.
        version: of the new distribution.

    Raises:
        ConfigError: the name cannot be used; the message says why.
    """
    short = name.removeprefix("qcore-").removeprefix("qcore_").replace("_", "-")
    if not _NAME.fullmatch(short) or len(short) > _LONGEST:
        raise ConfigError(
            f"{name!r} cannot be the name of a plugin. Expected: small letters and"
            f" digits, in words with a dash between them, {_LONGEST} at most. Type for"
            " example: qcore plugin new task-spool"
        )
    if not re.fullmatch(r"\d+(\.\d+)*", version):
        raise ConfigError(
            f"{version!r} cannot be the version. Type numbers: --version 0.1.0"
        )
    made = Plan(short, tuple(dict.fromkeys(kinds)), version)
    _refuse_taken(made)
    return made


def _refuse_taken(made: Plan) -> None:
    if made.name in KNOWN:
        raise ConfigError(
            f"{made.name!r} is a plugin of qcore itself. Choose another name, or take"
            f" that one. {how_to_install(made.name)}"
        )
    # a reporter is selected by its name
    keys = [made.key(kind) for kind in made.kinds if kind != "reporter"]
    if taken := [key for key in keys if key in {setting.name for setting in fields()}]:
        raise ConfigError(
            f"{taken[0]!r} is a setting of qcore, and the name of a plugin becomes a"
            " key of Q_CLUSTER. Choose another name."
        )
    registry = Registry()
    kinds = [KINDS[kind].provides for kind in made.kinds]
    for plugin in registry.plugins:
        names = {one.name for kind in kinds for one in plugin.providers.get(kind, ())}
        if made.name in {plugin.name, *names}:
            raise ConfigError(
                f"{made.name!r} is taken: {plugin.label} is installed. Choose another"
                " name, or uninstall it."
            )
    declared = {setting.name for setting in registry.settings()}
    if taken := [key for key in keys if key in registry.claims() | declared]:
        raise ConfigError(
            f"Q_CLUSTER[{taken[0]!r}] selects an installed plugin. Choose another name;"
            " `qcore plugins` shows what is taken."
        )
