"""``Conf``: the settings under the names that django-q gives them, read when asked.

Setting an attribute counts for this process, as the tests of many projects expect::

    monkeypatch.setattr(Conf, "SYNC", True)
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from typing import Any

from django.utils.translation import gettext_lazy as _

from qcore.conf import Conf as _Settings
from qcore.runtime import current

from .overrides import overrides

try:
    import psutil
except ImportError:
    psutil = None

try:
    import setproctitle
except ImportError:
    setproctitle = None  # type: ignore[assignment]

try:
    from croniter import croniter  # type: ignore[import-untyped,unused-ignore]
except ImportError:
    croniter = None

try:
    import resource
except ImportError:
    resource = None  # type: ignore[assignment]

logger = logging.getLogger("django-q")

#: Attribute -> the key of Q_CLUSTER that it shows.
_KEYS = {
    "ACK_FAILURES": "ack_failures",
    "BROKER_CLASS": "broker_class",
    "BULK": "bulk",
    "CACHE": "cache",
    "CACHED": "cached",
    "CATCH_UP": "catch_up",
    "CLUSTER_NAME": "cluster_name",
    "COMPRESSED": "compress",
    "CPU_AFFINITY": "cpu_affinity",
    "DAEMONIZE_WORKERS": "daemonize_workers",
    "DISQUE_AUTH": "disque_auth",
    "DISQUE_FASTACK": "disque_fastack",
    "DISQUE_NODES": "disque_nodes",
    "DJANGO_REDIS": "django_redis",
    "ERROR_REPORTER": "error_reporter",
    "GUARD_CYCLE": "guard_cycle",
    "HAS_REPLICA": "has_replica",
    "IRON_MQ": "iron_mq",
    "LABEL": "label",
    "LOG_LEVEL": "log_level",
    "MAX_ATTEMPTS": "max_attempts",
    "MAX_RSS": "max_rss",
    "MONGO": "mongo",
    "MONGO_DB": "mongo_db",
    "ORM": "orm",
    "POLL": "poll",
    "PREFIX": "name",
    "QUEUE_LIMIT": "queue_limit",
    "RECYCLE": "recycle",
    "REDIS": "redis",
    "RETRY": "retry",
    "SAVE_LIMIT": "save_limit",
    "SAVE_LIMIT_PER": "save_limit_per",
    "SCHEDULER": "scheduler",
    "SQS": "sqs",
    "SYNC": "sync",
    "TESTING": "testing",
    "TIMEOUT": "timeout",
    "TIME_ZONE": "time_zone",
    "WORKERS": "workers",
}

_DEFAULTS: dict[str, Any] = {
    "DISQUE_FASTACK": False,
    "HAS_REPLICA": False,
    "REDIS": {},
    "TESTING": False,
}


def _project() -> dict[str, Any]:
    from django.conf import settings

    found: dict[str, Any] = getattr(settings, "Q_CLUSTER", {})
    return found


def _secret_key() -> str:
    from django.conf import settings

    return str(settings.SECRET_KEY)


_COMPUTED: dict[str, Callable[[_Settings], Any]] = {
    "CLUSTER_NAME": lambda conf: conf.queue,
    "Q_STAT": lambda conf: f"django_q:{conf.name}:cluster",
    "SECRET_KEY": lambda _: _secret_key(),
    "conf": lambda _: {**_project(), **overrides},
}


class _Live(type):
    """Reads attributes of ``Conf`` off the settings of qcore."""

    def __getattr__(cls, name: str) -> Any:
        if name in _COMPUTED:
            return _COMPUTED[name](current.conf)
        if name not in _KEYS:
            raise AttributeError(f"Conf has no attribute {name!r}")
        key = _KEYS[name]
        if key in overrides:
            return overrides[key]
        conf = current.conf
        own = {setting.name: setting.attribute for setting in _fields()}
        if key in own and name != "BROKER_CLASS":
            return getattr(conf, own[key])
        return _project().get(key, conf.options.get(key, _DEFAULTS.get(name)))

    def __setattr__(cls, name: str, value: Any) -> None:
        if name not in _KEYS:
            super().__setattr__(name, value)
            return
        overrides[_KEYS[name]] = value
        current.reset()

    def __delattr__(cls, name: str) -> None:
        if name in _KEYS:
            overrides.pop(_KEYS[name], None)
            current.reset()
        else:
            super().__delattr__(name)


def _fields() -> Any:
    from qcore.conf import fields

    return fields()


class Conf(metaclass=_Live):
    """The settings; each attribute is read anew."""

    STARTING = _("Starting")
    WORKING = _("Working")
    IDLE = _("Idle")
    STOPPED = _("Stopped")
    STOPPING = _("Stopping")
    QSIZE = True
    SIGNAL_NAMES = {  # noqa: RUF012 - as in django-q
        number.value: number.name for number in signal.Signals
    }


class ErrorReporter:
    """Calls every reporter of ``error_reporter``, for code that asks for one."""

    def __init__(self, reporters: Any = None) -> None:
        self.targets = list(reporters or ())

    def report(self) -> None:
        """Report the exception that is being handled."""
        for target in self.targets:
            target.report()


error_reporter = ErrorReporter()


def get_ppid() -> int:
    """Return the id of the parent process."""
    import os

    return os.getppid()
