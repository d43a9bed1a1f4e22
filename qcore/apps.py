"""The Django app ``qcore``."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig
from django.conf import settings
from django.db import router
from django.db.models.signals import post_migrate
from django.utils.functional import lazystr

#: The heading of a project that sets no `label`.
TITLE = "qcore"


class Label:
    """The title of the app, read from the settings whenever it is shown.

    Args:
        more: what follows the title, for the pages of a plugin.
    """

    def __init__(self, more: str = "") -> None:
        self._more = more

    def __str__(self) -> str:
        options = getattr(settings, "Q_CLUSTER", {})
        # a wrong Q_CLUSTER is reported by the checks, in full
        label = options.get("label") if isinstance(options, dict) else None
        return f"{label or TITLE}{self._more}"


class QcoreConfig(AppConfig):
    """Results and schedules, with their pages in the admin."""

    name = "qcore"
    label = "qcore"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = lazystr(Label())

    def ready(self) -> None:
        """Register the system checks; keep secrets off error pages, escapes off the log."""
        import_module("qcore.checks")
        import_module("qcore.logs").keep_printable()
        import_module("qcore.error_pages").mask_error_pages()
        import_module("qcore.tasks.transactions").watch()
        post_migrate.connect(_sync_schedules, sender=self, dispatch_uid="qcore.sync")


def _sync_schedules(using: str, **_: object) -> None:
    """Write the schedules that the code declares to the table that was migrated."""
    from .models import Schedule
    from .schedules.sync import sync_guarded

    if using == router.db_for_write(Schedule):
        sync_guarded("after migrate")
