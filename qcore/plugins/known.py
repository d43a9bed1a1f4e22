"""The first-party plugins: the only place where the core names them.

A table for messages of the kind "what to install"; nothing is looked up by it.
"""

from __future__ import annotations

from .origin import WHEELHOUSE, command, origin

#: Plugin -> the keys of Q_CLUSTER that select it; a dot looks into a dictionary.
KNOWN = {
    "redis": ("redis", "django_redis"),
    "orm": ("orm",),
    "sqs": ("sqs",),
    "mongo": ("mongo",),
    "ironmq": ("iron_mq",),
    "disque": ("disque_nodes",),
    "sentry": ("error_reporter.sentry",),
    "rollbar": ("error_reporter.rollbar",),
    "django-q": (),
    "prometheus": (),
    "otel": (),
    "dashboard": (),
    "limits": (),
    "flows": (),
}

#: Plugin -> distributions that install a package of the same name as the plugin does, so
#: that each overwrites files of the other.
RIVALS = {"django-q": ("django-q2", "django-q")}

#: Plugin -> further keys of Q_CLUSTER that it reads.
_FURTHER = {
    "mongo": ("mongo_db",),
    "disque": ("disque_auth", "disque_replicate"),
    "prometheus": ("prometheus",),
    "otel": ("otel",),
    "redis": ("redis_limiter",),
    "limits": ("limits", "limiter"),
    "flows": ("flows",),
}

#: Every key at the top of Q_CLUSTER that a first-party plugin reads, installed or not.
KEYS = frozenset(
    key
    for keys in (*KNOWN.values(), *_FURTHER.values())
    for key in keys
    if "." not in key
)

#: Those that are brokers.
BROKERS = tuple(name for name, keys in KNOWN.items() if keys and "." not in keys[0])

#: The broker of a project that selects none, where it is installed: it is documented so.
DEFAULT_BROKER = "redis"

#: The broker that needs no server: what to write into Q_CLUSTER to begin with.
FIRST_BROKER = ("orm", "default")


def how_to_install(name: str) -> str:
    """Return what to type for a first-party plugin; the command is the end of it.

    It names the place that this qcore was installed from, where that is known, and else
    the wheelhouse of the README; the version keeps pip from the foreign ``qcore`` 1.x.
    """
    if origin(name).is_known:
        return f"Run: {command_of(name)}"
    where = f"Here {WHEELHOUSE} is the folder of qcore's wheels."
    return f"{where} Run: {command_of(name)}"


def command_of(name: str) -> str:
    """Return the command of `how_to_install` alone."""
    return command(name, origin(name))
