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

#: Files of every plugin: path in the plugin -> template; None is an empty file.
_COMMON = {
    "pyproject.toml": "pyproject.toml-tpl",
    "tests/test_plugin.py": "plugin.py-tpl",
    "{module}/py.typed": None,
}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of plugin that can be written."""

    name: str  # of the kind, of its module and of the folder of its templates
    provides: str  # the kind of provider, as the registry calls it
    noun: str
    does: str  # what the example does, after "that"
    in_database: bool = False  # keeps what it has in an SQLite file

    @property
    def class_suffix(self) -> str:
        """The end of the name of its class: ``"Broker"``."""
        return self.name.title()

    @property
    def description(self) -> str:
        """What the distribution says of itself."""
        return f"{self.noun} for qcore that {self.does}"

    @property
    def summary(self) -> str:
        """What the module and the README say of themselves."""
        return f"{self.noun} that {self.does}."

    def template(self, name: str) -> str:
        """Return the path of one of its templates."""
        return f"{self.name}/{name}-tpl"

    def files(self, *, is_first: bool) -> dict[str, str]:
        """Return its files: path in the plugin -> template.

        Args:
            is_first: whether it is the first or the only kind of the plugin.
        """
        test = "test_contract" if is_first else f"test_{self.name}"
        found = {
            f"{{module}}/{self.name}.py": self.template(f"{self.name}.py"),
            f"tests/{test}.py": self.template("contract.py"),
        }
        if self.in_database:
            found["{module}/database.py"] = "database.py-tpl"
        return found


KINDS = {
    kind.name: kind
    for kind in (
        Kind("broker", "broker", "A small broker", "keeps its queue in a folder"),
        Kind(
            "reporter",
            "error reporter",
            "An error reporter",
            "appends the failures of tasks to a file",
        ),
        Kind(
            "cache",
            "cache backend",
            "A cache backend",
            "keeps values in a file",
            in_database=True,
        ),
        Kind(
            "scheduler",
            "scheduler",
            "A scheduler",
            "keeps schedules in a file",
            in_database=True,
        ),
        Kind(
            "store",
            "result store",
            "A result store",
            "keeps results in a file",
            in_database=True,
        ),
    )
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
            for path, source in _COMMON.items()
        }
        for name in self.kinds:
            files = KINDS[name].files(is_first=name == self.kinds[0])
            for path, source in files.items():
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
