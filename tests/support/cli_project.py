"""A small Django project that tests write into a folder, and its environment."""

from __future__ import annotations

import os
from pathlib import Path

SETTINGS = """
import os
from pathlib import Path

SECRET_KEY = "a key for tests, of no use to anybody"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["qcore", "qcore_orm"]
DATABASES = {"default": {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": Path(__file__).parent / "db.sqlite3",
    "OPTIONS": {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL",
    },
}}
Q_CLUSTER = {"name": "shop", "orm": "default", "workers": 2, "timeout": 30}
"""
MANAGE = """
import os
import sys

def main():
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop_settings")
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)

if __name__ == "__main__":
    main()
"""


def clean_environment(**more: str) -> dict[str, str]:
    """Return the environment without what names settings, plugins or colours."""
    dropped = ("DJANGO_SETTINGS_MODULE", "Q_CLUSTER_NAME", "QCORE_PLUGINS", "NO_COLOR")
    kept = {key: value for key, value in os.environ.items() if key not in dropped}
    return {**kept, "COLUMNS": "80", **more}


def write_project(folder: Path, settings: str = SETTINGS) -> Path:
    (folder / "shop_settings.py").write_text(settings)
    (folder / "manage.py").write_text(MANAGE)
    return folder
