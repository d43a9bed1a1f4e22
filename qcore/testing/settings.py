"""A settings module for another process: the project's own, with some values changed."""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ConfigError

_HEAD = '''"""Settings of a cluster under test, written by qcore.testing."""

from {base} import *

'''


def write(path: Path, changes: Mapping[str, Any]) -> None:
    """Write a settings module: this process's settings, with ``changes`` over them.

    Databases are those that this process is connected to, so that a test database
    stands in for the real one in the other process, too; unless ``changes`` has
    DATABASES.

    Args:
        path: of the module; its folder must be on the other process's path.
        changes: settings by name, as values that can be written as Python literals.

    Raises:
        ConfigError: a value has no literal, or a database is in memory.
    """
    from django.conf import ENVIRONMENT_VARIABLE
    from django.db import connections

    base = os.environ.get(ENVIRONMENT_VARIABLE)
    if base is None:
        raise ConfigError(
            f"another process needs these settings by name, and {ENVIRONMENT_VARIABLE} is"
            " not set. Put them into a module, and set it to the module's name."
        )
    text = _HEAD.format(base=base)
    for alias in () if "DATABASES" in changes else connections:
        name = _database_name(alias, connections[alias].settings_dict["NAME"])
        # an alias that was added while this process ran is not in the module
        text += f"if {alias!r} in DATABASES:\n"
        text += f"    DATABASES[{alias!r}]['NAME'] = {name!r}\n"
    for setting, value in changes.items():
        text += f"{setting} = {literal(setting, value)}\n"
    path.write_text(text)


def _database_name(alias: str, name: object) -> str:
    text = os.fspath(name) if isinstance(name, os.PathLike) else str(name)
    if text == ":memory:" or "mode=memory" in text:
        raise ConfigError(
            f"the database {alias!r} is in the memory of this process, and a cluster is"
            f" another process. Give the tests a file: DATABASES[{alias!r}]['TEST'] ="
            " {'NAME': 'test.sqlite3'}."
        )
    return text


def literal(setting: str, value: Any) -> str:
    """Return the text of a value, from which Python makes an equal one.

    Raises:
        ConfigError: there is none.
    """
    text = repr(value)
    try:
        same = ast.literal_eval(text) == value
    except (ValueError, SyntaxError):
        same = False
    if not same:
        raise ConfigError(
            f"{setting} cannot be given to another process: {text} is no literal of"
            " Python. Write it into the settings module."
        )
    return text
