"""The Django app: add ``"qcore_limits"`` to ``INSTALLED_APPS``."""

from __future__ import annotations

from django.apps import AppConfig


class QcoreLimitsConfig(AppConfig):
    """Brings the tables of the keys."""

    name = "qcore_limits"
    verbose_name = "Task limits"
    default_auto_field = "django.db.models.BigAutoField"
