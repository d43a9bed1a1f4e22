"""The Django app ``django_q``; it brings the apps of qcore with it."""

from __future__ import annotations

import logging
from types import ModuleType
from typing import Any

from django.apps import AppConfig
from django.apps import apps as registry
from django.conf import settings
from django.utils.functional import lazystr

from qcore.apps import Label

#: Apps whose tables the models of this one are in.
COMPANIONS = ("qcore", "qcore_orm")


class DjangoQConfig(AppConfig):
    """What projects of django-q have in ``INSTALLED_APPS``."""

    name = "django_q"
    label = "django_q"
    default_auto_field = "django.db.models.AutoField"
    verbose_name = lazystr(Label())

    def __init__(self, app_name: str, app_module: ModuleType) -> None:
        super().__init__(app_name, app_module)
        _bring_companions()

    def ready(self) -> None:
        """Let the log of qcore go where the project sends that of ``django-q``."""
        import qcore.signals  # noqa: F401 - receivers are connected below

        own = logging.getLogger("qcore")
        if not own.handlers:
            own.parent = logging.getLogger("django-q")


def _bring_companions() -> None:
    """Install the apps of qcore that the project does not name itself.

    Django is about to install what ``INSTALLED_APPS`` names, one by one, and looks at its
    registry only afterwards. So the project needs no edit of that list.
    """
    named = [str(entry) for entry in settings.INSTALLED_APPS]
    for name in COMPANIONS:
        if any(entry == name or entry.startswith(f"{name}.apps.") for entry in named):
            continue
        config: Any = AppConfig.create(name)
        config.apps = registry
        registry.app_configs.setdefault(config.label, config)
