"""The Django app of a plugin: its tables are there only where a project has installed it."""

from __future__ import annotations

from ..errors import ConfigError


def require_app(name: str, who: str) -> None:
    """Refuse to define models of an app that the project has not installed.

    Call it at the head of the module ``models``. Otherwise, Django says that a model "doesn't
    declare an explicit app_label", which names neither the plugin nor what to do.

    Args:
        name: of the app, as it stands in ``INSTALLED_APPS``.
        who: the distribution, for the message: ``"qcore-flows"``.

    Raises:
        ConfigError: the app is not installed.
        django.core.exceptions.AppRegistryNotReady: ``django.setup()`` was not called.
    """
    from django.apps import apps

    if not apps.is_installed(name):
        raise ConfigError(
            f"{who} needs its tables, and {name!r} is not in INSTALLED_APPS. Add it and"
            " run: python manage.py migrate"
        )
