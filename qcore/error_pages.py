"""Django's error pages and error mails, without the secrets of ``Q_CLUSTER``.

Both show every setting. Django hides what stands under a key like ``password``, and does
not look for passwords in a URL or for the DSN of a reporter.
"""

from __future__ import annotations

from typing import Any

from django.conf import global_settings, settings
from django.views.debug import SafeExceptionReporterFilter

from .conf import mask
from .conf.validation import ROOT


class MaskingFilter(SafeExceptionReporterFilter):
    """Django's own filter, which masks ``Q_CLUSTER`` besides.

    qcore sets it where a project has none of its own. One that has can inherit from it.
    """

    def get_safe_settings(self) -> dict[str, Any]:
        """Return the settings as they may be shown."""
        shown: dict[str, Any] = super().get_safe_settings()
        if ROOT in shown:
            shown[ROOT] = mask(shown[ROOT])
        return shown


def mask_error_pages() -> None:
    """Have error pages and mails use the filter, unless the project has chosen another."""
    name = "DEFAULT_EXCEPTION_REPORTER_FILTER"
    if getattr(settings, name) == getattr(global_settings, name):
        setattr(settings, name, f"{__name__}.{MaskingFilter.__name__}")
