"""The Django app: add ``"qcore_dashboard"`` to ``INSTALLED_APPS``."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.functional import lazystr

from qcore.apps import Label


class QcoreDashboardConfig(AppConfig):
    """Brings the dashboard, its permissions and the table of its charts."""

    name = "qcore_dashboard"
    # beside the pages of the core: the admin sorts its headings
    verbose_name = lazystr(Label(": dashboard"))
    default_auto_field = "django.db.models.BigAutoField"
