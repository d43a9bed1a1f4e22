"""The Django app: add ``"qcore_flows"`` to ``INSTALLED_APPS``."""

from __future__ import annotations

from django.apps import AppConfig


class QcoreFlowsConfig(AppConfig):
    """Brings the tables of flows."""

    name = "qcore_flows"
    verbose_name = "Task flows"
    default_auto_field = "django.db.models.BigAutoField"
