"""Django settings of the tests, and of the processes that tests start.

``QCORE_TEST_DB`` chooses the database (``sqlite``, ``postgres`` or ``mariadb``),
``QCORE_TEST_DB_PORT`` the port of a running server (tests/shared_fixtures.py starts one),
``QCORE_TEST_DB_NAME`` the database or, for SQLite, the file (default: in memory).
"""

from __future__ import annotations

import importlib.util
import os

from servers.mariadb import MariaDBServer
from servers.postgres import PostgresServer


def database() -> dict[str, object]:
    """Return the entry of ``DATABASES`` that the environment asks for."""
    kind = os.environ.get("QCORE_TEST_DB", "sqlite")
    name = os.environ.get("QCORE_TEST_DB_NAME")
    if kind == "sqlite":
        # A second process waits this long (seconds) for the one that writes.
        options = {"timeout": 20, "transaction_mode": "IMMEDIATE"}
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": name or ":memory:",
            "OPTIONS": options,
        }
    port = int(os.environ["QCORE_TEST_DB_PORT"])
    if kind == "postgres":
        return PostgresServer.settings(port, name or "postgres")
    if kind == "mariadb":
        return MariaDBServer.settings(port, name or "mysql")
    raise ValueError(f"QCORE_TEST_DB is {kind!r}; expected sqlite, postgres or mariadb")


DATABASES = {"default": database()}
if DATABASES["default"]["ENGINE"] == "django.db.backends.mysql":
    # PyMySQL is a wheel; mysqlclient would have to be compiled.
    import pymysql

    pymysql.install_as_MySQLdb()

SECRET_KEY = "a key for tests, of no use to anybody"
USE_TZ = True
TIME_ZONE = "UTC"
ALLOWED_HOSTS = ["*"]
STATIC_URL = "static/"
ROOT_URLCONF = "urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# The fastest there is: passwords of tests protect nothing.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "qcore",
]
Q_CLUSTER: dict[str, object] = {"name": "tests", "workers": 2, "timeout": 30}
# The session `alone` tests each plugin with only the core beside it.
if importlib.util.find_spec("qcore_orm"):
    INSTALLED_APPS.append("qcore_orm")
    Q_CLUSTER["orm"] = "default"
if importlib.util.find_spec("qcore_limits"):
    INSTALLED_APPS.append("qcore_limits")
if importlib.util.find_spec("qcore_dashboard"):
    INSTALLED_APPS.append("qcore_dashboard")
if importlib.util.find_spec("qcore_flows"):
    INSTALLED_APPS.append("qcore_flows")
# read where Django has tasks, or the package django-tasks is installed
TASKS = {"default": {"BACKEND": "qcore.backend.QcoreBackend", "QUEUES": []}}
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
