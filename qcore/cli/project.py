"""The Django project that a verb works for: its settings are found and set up."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import qcore

from ..errors import BrokerUnavailable, ConfigError, PluginError, QcoreError
from ..masking import mask_url
from .exits import FAILURE, USAGE, code_of

VARIABLE = "DJANGO_SETTINGS_MODULE"

# The line that `django-admin startproject` writes, and the plain assignment.
_NAMED = re.compile(
    r"""^\s*os\.environ(?:\.setdefault\(\s*|\[)
        ["']DJANGO_SETTINGS_MODULE["']
        (?:\s*,\s*|\]\s*=\s*)
        ["'](?P<module>[\w.]+)["']""",
    re.MULTILINE | re.VERBOSE,
)


def set_up(verb: str, settings: str | None = None) -> None:
    """Find the settings and start Django; the folder of manage.py goes on the path.

    Args:
        verb: the verb that asks, for messages.
        settings: the value of ``--settings``; it wins over everything else.

    Raises:
        ConfigError: there are none, or Django cannot start with them.
    """
    manage = nearby_manage(Path.cwd())
    folder = str(manage.parent if manage else Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    os.environ[VARIABLE] = find(verb, settings, manage)
    _start()


def find(verb: str, settings: str | None, manage: Path | None) -> str:
    """Return the name of the settings module.

    Raises:
        ConfigError: nothing names one; the message says what to type.
    """
    if found := settings or os.environ.get(VARIABLE):
        return found
    advice = f"Type: qcore {verb} --settings mysite.settings"
    if manage is None:
        raise ConfigError(
            "no Django settings: there is no manage.py in this folder or above it, and"
            f" {VARIABLE} is not set. {advice}"
        )
    if match := _NAMED.search(manage.read_text(errors="replace")):
        return match["module"]
    raise ConfigError(f"no Django settings: {manage} does not set {VARIABLE}. {advice}")


def nearby_manage(folder: Path) -> Path | None:
    """Return the manage.py of a folder or of the nearest of its parents."""
    for place in (folder, *folder.parents):
        if (place / "manage.py").is_file():
            return place / "manage.py"
    return None


def _start() -> None:
    import django
    from django.apps import apps
    from django.conf import settings

    name = os.environ[VARIABLE]
    try:
        settings.INSTALLED_APPS  # noqa: B018 - reading one setting loads them all
    except ImportError as error:
        raise ConfigError(
            f"the settings {name!r} cannot be imported: {error}. Type the module after"
            " --settings as Python imports it from this folder, like mysite.settings"
        ) from error
    except Exception as error:
        raise _cannot_start(name, error) from error
    try:
        if not apps.ready:
            with _uncollected():
                django.setup()
    except Exception as error:
        raise ConfigError(
            f"Django cannot start with the settings {name!r}:\n{_traceback_of(error)}"
        ) from error
    if not apps.is_installed("qcore"):
        raise ConfigError(
            f"INSTALLED_APPS of {name!r} has no 'qcore'. Add it, and run: python"
            " manage.py migrate"
        )


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Import without looking for garbage, of which imports make next to none.

    That took 70 of 450 ms. What is imported stays, and is kept from every later search.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def _cannot_start(name: str, error: Exception) -> ConfigError:
    """Say that code of the project, which may raise anything, has raised ``error``."""
    return ConfigError(
        f"Django cannot start with the settings {name!r}: {type(error).__name__}:"
        f" {error}. With --traceback you see where."
    )


def _traceback_of(error: Exception) -> str:
    """Return a traceback that begins in the project, and not in what imports it.

    It stands in the log of a service, where nobody can ask for it afterwards.
    """
    import django

    ours = [str(Path(module).parent) for module in (django.__file__, qcore.__file__)]
    foreign = (*(f"{folder}{os.sep}" for folder in ours), "<frozen importlib")
    trace = error.__traceback__
    while trace and trace.tb_frame.f_code.co_filename.startswith(foreign):
        trace = trace.tb_next
    lines = traceback.format_exception(type(error), error, trace)
    return mask_url("".join(lines).rstrip())


def told(error: Exception) -> tuple[str, int]:
    """Return what to say of an error, and the exit code.

    Where tables are missing, that is the reason, whatever the error says.
    """
    if not isinstance(error, BrokerUnavailable | ConfigError | PluginError):
        from django.db import Error

        from ..doctor.tables import faults

        with contextlib.suppress(Error, QcoreError):  # then `error` tells it
            if found := list(faults()):
                return "\n".join(found), USAGE
    if isinstance(error, QcoreError):
        return str(error), code_of(error)
    return f"{explain(error)}. Check DATABASES and its server.", FAILURE


def explain(error: Exception) -> str:
    """Return what an error of the database says, in one line."""
    first = str(error).strip().splitlines()[0] if str(error).strip() else "no reason"
    return f"the database says: {mask_url(first)}"
