"""Django's settings of the demo; QCORE_DEMO_DIR names the folder of its database."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(os.environ["QCORE_DEMO_DIR"])

SECRET_KEY = "the demo has no secrets"  # noqa: S105 - its queue dies with its folder
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["qcore", "qcore_orm"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": FOLDER / "demo.sqlite3",
        "OPTIONS": {
            # who wants to write waits for the one who does (seconds), from the start
            # of the transaction: a lock that is upgraded later would fail at once
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            # readers and the writer do not wait for each other
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
        },
    }
}
#: Attempts after which a task that kills its worker is given up.
MAX_CRASHES = 2

# Django's default cache is private to a process, so status goes through the broker.
Q_CLUSTER = {
    "name": "demo",
    "orm": "default",
    "workers": int(os.environ.get("QCORE_DEMO_WORKERS", "4")),
    "timeout": 30,
    "max_crashes": MAX_CRASHES,
    "shutdown_grace": 1,  # some tasks run until somebody ends them: nobody waits for those
    "save_limit": 0,  # every result is kept, for the summary
}
