"""Django settings of every peer, from the environment of a turn."""

from __future__ import annotations

import importlib
import json
import os

peer = importlib.import_module(f"peers.{os.environ['BENCH_PEER'].replace('-', '_')}")

SECRET_KEY = "bench"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": json.loads(os.environ["BENCH_DATABASE"])}
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    *peer.APPS,
]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {"django-q": {"level": "WARNING"}},
}
globals().update(peer.settings(os.environ["BENCH_STORE"], os.environ["BENCH_REDIS"]))
