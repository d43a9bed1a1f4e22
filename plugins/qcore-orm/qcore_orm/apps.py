"""The Django app: add ``"qcore_orm"`` to ``INSTALLED_APPS``."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.functional import lazystr

from qcore.apps import Label


class QcoreOrmConfig(AppConfig):
    """Brings the tables of the queue and the Queued tasks page of the admin."""

    name = "qcore_orm"
    # beside the pages of the core: the admin sorts its headings
    verbose_name = lazystr(Label(": queue"))
    default_auto_field = "django.db.models.BigAutoField"
