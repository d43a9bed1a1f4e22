"""Checks of a plugin that decides about tasks, and has tables of its own.

For authors of such plugins: the app has to be installed, and the ledger has to be there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..runtime import current

if TYPE_CHECKING:
    from django.core.checks import CheckMessage


def check_app(app: str, refused: str) -> list[CheckMessage]:
    """Return a warning where a plugin cannot do what tasks ask of it.

    Args:
        app: the package of the plugin, which is its Django app; its distribution has
            hyphens in the place of underscores. The ids of the warnings begin with it.
        refused: what cannot be sent then, and the verb: ``"batches are refused"``.

    Returns:
        Warning ``W001``: the app is not in INSTALLED_APPS; ``W002``: there is no ledger.
    """
    from django.apps import apps
    from django.core.checks import Warning as CheckWarning

    if not apps.is_installed(app):
        return [
            CheckWarning(
                f"{app.replace('_', '-')} is installed and {app!r} is not in INSTALLED_APPS:"
                f" {refused}.",
                hint=f"Add {app!r} to INSTALLED_APPS and run: python manage.py migrate",
                id=f"{app}.W001",
            )
        ]
    if current.ledger is None:
        return [
            CheckWarning(
                f"no database of this project can have the ledger of qcore: {refused}.",
                hint="Set Q_CLUSTER['ledger'] to the alias of a PostgreSQL, MariaDB,"
                " MySQL or SQLite database.",
                id=f"{app}.W002",
            )
        ]
    return []
