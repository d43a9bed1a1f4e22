"""Settings of Django that are enough for the tests of a plugin.

Where pytest-django runs the tests, name this module in pyproject.toml::

    [tool.pytest.ini_options]
    DJANGO_SETTINGS_MODULE = "qcore.testing.project"

A settings module of your own can begin with the same values and change some of them::

    from qcore.testing.project import minimal_settings

    globals().update(minimal_settings("my_plugin", TIME_ZONE="Europe/Paris"))

Tests without pytest-django call ``configure()`` before they use qcore.
"""

from __future__ import annotations

from typing import Any


def minimal_settings(*apps: str, **others: Any) -> dict[str, Any]:
    """Return settings of a project that has qcore and nothing else.

    The database is an SQLite database in memory, and the queue is in the memory of the
    process: no test needs a service, unless its own ``Q_CLUSTER`` names one. Tasks are sent
    at once, for the transaction around a test never commits.

    Args:
        apps: for INSTALLED_APPS, after ``qcore``.
        others: settings by name; each takes the place of the value here.
    """
    return {
        "SECRET_KEY": "a key of tests, of no use to anybody",
        "USE_TZ": True,
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
        "INSTALLED_APPS": ["qcore", *apps],
        "DATABASES": {
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
        },
        "Q_CLUSTER": {"name": "tests", "memory": {}, "commit": "now"},
        **others,
    }


def configure(*apps: str, **others: Any) -> None:
    """Set Django up with ``minimal_settings``, unless this process has settings already."""
    import django
    from django.conf import settings

    if not settings.configured:
        settings.configure(**minimal_settings(*apps, **others))
        django.setup()


globals().update(minimal_settings())
