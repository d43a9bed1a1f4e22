"""A new plugin from the templates in ``template/``: its files as text, and its names.

The folder ``plugins/qcore-example`` of the repository is what this writes for a broker
called "example"; a test keeps the two equal.
"""

from __future__ import annotations

import re
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

_SHARED = {"pyproject.toml": "pyproject.toml-tpl", "{module}/py.typed": None}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of plugin that can be written."""

    provides: str  # the kind of provider, as the registry calls it
    class_suffix: str
    description: str
    files: dict[str, str | None]  # path in the plugin -> template; None: it is empty


KINDS = {
    "broker": Kind(
        provides="broker",
        class_suffix="Broker",
        description="A small broker for qcore that keeps its queue in a folder",
        files={
            **_SHARED,
            "README.md": "broker/README.md-tpl",
            "{module}/__init__.py": "broker/init.py-tpl",
            "{module}/broker.py": "broker/broker.py-tpl",
            "tests/test_contract.py": "broker/contract.py-tpl",
        },
    ),
    "reporter": Kind(
        provides="error reporter",
        class_suffix="Reporter",
        description="An error reporter for qcore that appends failures to a file",
        files={
            **_SHARED,
            "README.md": "reporter/README.md-tpl",
            "{module}/__init__.py": "reporter/init.py-tpl",
            "{module}/reporter.py": "reporter/reporter.py-tpl",
            "tests/test_contract.py": "reporter/contract.py-tpl",
        },
    ),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """A plugin that is to be written.

    Args:
        name: of the entry point, with dashes: ``"task-spool"``.
        kind: a key of ``KINDS``.
        version: of the distribution.
    """

    name: str
    kind: str
    version: str

    @property
    def distribution(self) -> str:
        """The name of the distribution and of its folder: ``"qcore-task-spool"``."""
        return f"qcore-{self.name}"

    @property
    def key(self) -> str:
        """The key of Q_CLUSTER that selects a broker: ``"task_spool"``."""
        return self.name.replace("-", "_")

    def files(self) -> dict[str, str]:
        """Return the text of each file by its path below the folder of the plugin."""
        kind = KINDS[self.kind]
        words = {
            "name": self.name,
            "key": self.key,
            "module": f"qcore_{self.key}",
            "distribution": self.distribution,
            "class_name": self.key.title().replace("_", "") + kind.class_suffix,
            "description": kind.description,
            "version": self.version,
        }
        templates = files(__package__) / "template"
        return {
            path.format(**words): Template(
                (templates / source).read_text("utf-8")
            ).substitute(words)
            if source
            else ""
            for path, source in sorted(kind.files.items())
        }

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


def plan(name: str, kind: str, version: str) -> Plan:
    """Return the plan of a plugin whose name is good and free.

    Args:
        name: with or without the prefix ``qcore-``; underscores count as dashes.
        kind: a key of ``KINDS``.
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
    made = Plan(short, kind, version)
    _refuse_taken(made)
    return made


def _refuse_taken(made: Plan) -> None:
    if made.name in KNOWN:
        raise ConfigError(
            f"{made.name!r} is a plugin of qcore itself. {how_to_install(made.name)},"
            " or choose another name."
        )
    claims_key = made.kind != "reporter"  # a reporter is selected by its name
    if claims_key and made.key in {setting.name for setting in fields()}:
        raise ConfigError(
            f"{made.key!r} is a setting of qcore, and the name of a plugin becomes a"
            " key of Q_CLUSTER. Choose another name."
        )
    registry = Registry()
    for plugin in registry.plugins:
        names = {
            one.name for one in plugin.providers.get(KINDS[made.kind].provides, ())
        }
        if made.name in {plugin.name, *names}:
            raise ConfigError(
                f"{made.name!r} is taken: {plugin.label} is installed. Choose another"
                " name, or uninstall it."
            )
    if claims_key and made.key in registry.claims():
        raise ConfigError(
            f"Q_CLUSTER[{made.key!r}] selects an installed plugin. Choose another name;"
            " `qcore plugins` shows what is taken."
        )
