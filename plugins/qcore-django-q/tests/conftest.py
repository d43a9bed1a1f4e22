"""The drop-in in a project of its own: its apps are installed for each file of tests.

The settings of all other tests have no ``django_q``. Here a module's tests run with an
``INSTALLED_APPS`` that names it, and with tables of its own in the database of the tests.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection
from django.test import override_settings
from django.urls import clear_url_caches

from qcore.runtime import current

#: As ``startproject`` of a project of django-q has them: nothing of qcore is named.
APPS = [
    *(app for app in settings.INSTALLED_APPS if not app.startswith("qcore")),
    "django_q",
]
Q_CLUSTER = {"name": "drop-in", "workers": 2, "timeout": 30, "orm": "default"}


@pytest.fixture(scope="module", autouse=True)
def drop_in(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Have ``django_q`` installed while the tests of a file run."""
    pages = dict(admin.site._registry)
    # twice, for Django installs the apps of an override before it changes the settings
    bare = [app for app in APPS if app != "django_q"]
    with (
        override_settings(INSTALLED_APPS=bare),
        override_settings(INSTALLED_APPS=APPS, Q_CLUSTER=Q_CLUSTER),
    ):
        # Django imports the pages of the admin once in a process
        from django_q.admin import register

        admin.site._registry.clear()
        admin.site._registry.update(pages)
        register(admin.site)
        forget_urls()
        with django_db_blocker.unblock():
            call_command("migrate", "django_q", verbosity=0)
        try:
            yield
        finally:
            with django_db_blocker.unblock():
                call_command("migrate", "django_q", "zero", verbosity=0)
                forget_models()
            admin.site._registry.clear()
            admin.site._registry.update(pages)
            forget_urls()
    with django_db_blocker.unblock():
        make_permissions()
    current.reset()


def make_permissions() -> None:
    """Make those of all apps again: a flush of these tests leaves those of their apps."""
    if Permission._meta.db_table in connection.introspection.table_names():
        ContentType.objects.clear_cache()
        for app in apps.get_app_configs():
            create_permissions(app, verbosity=0)


def forget_models() -> None:
    """Delete what migrations leave behind: the content types, and their permissions."""
    # without a test that asks for the database, it has no tables but those of django_q
    if ContentType._meta.db_table in connection.introspection.table_names():
        ContentType.objects.filter(app_label="django_q").delete()
        ContentType.objects.clear_cache()


def forget_urls() -> None:
    """Have the addresses made anew: those of the admin are of its pages at their import."""
    sys.modules.pop(settings.ROOT_URLCONF, None)
    clear_url_caches()


@pytest.fixture(autouse=True)
def no_overrides() -> Iterator[None]:
    """Leave nothing set on ``Conf``."""
    from django_q.overrides import overrides

    yield
    if overrides:
        overrides.clear()
        current.reset()


@pytest.fixture
def configured() -> Iterator[Any]:
    """``configured(timeout=3)`` changes ``Q_CLUSTER`` for one test."""
    made: list[Any] = []

    def configure(**options: Any) -> None:
        override = override_settings(Q_CLUSTER={**Q_CLUSTER, **options})
        override.enable()
        made.append(override)

    yield configure
    for override in reversed(made):
        override.disable()
