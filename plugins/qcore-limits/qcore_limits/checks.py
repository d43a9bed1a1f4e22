"""Checks: whether the plugin can do what tasks ask of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcore.errors import QcoreError
from qcore.plugins.app_checks import check_app

if TYPE_CHECKING:
    from django.core.checks import CheckMessage

    from qcore.conf import Conf


def check(conf: Conf) -> list[CheckMessage]:
    """Return warnings about the app and its database, and an error of the limiter."""
    found = check_app(
        "qcore_limits", "a task with the option 'unique' or 'limits' is refused"
    )
    name = conf.options.get("limiter")
    if name is not None:
        from django.core.checks import Error

        from .limiter import load

        try:
            load(name)
        except QcoreError as error:
            found.append(Error(str(error), id="qcore_limits.E001"))
    return found
