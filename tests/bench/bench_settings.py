"""Django settings of every peer, from the environment of a turn."""

from __future__ import annotations

import turn

_turn = turn.current()

SECRET_KEY = "bench"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": _turn.database}
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    *_turn.apps,
]
# several peers write two lines for each task unless told otherwise
_CHATTY = (
    "django-q django_tasks django_tasks_db django.tasks procrastinate rq rq.worker"
    " dramatiq huey saq streaq"
)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {name: {"level": "WARNING"} for name in _CHATTY.split()},
}
globals().update(_turn.settings)
