"""The Django app: add ``"qcore_orm"`` to ``INSTALLED_APPS``."""

from __future__ import annotations

from django.apps import AppConfig


class QcoreOrmConfig(AppConfig):
    """Brings the tables of the queue and the Queued tasks page of the admin."""

    name = "qcore_orm"
    verbose_name = "Task queue"
    default_auto_field = "django.db.models.BigAutoField"
