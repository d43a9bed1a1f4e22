"""Redis broker for qcore, built on streams; works with Valkey and django-redis."""

from __future__ import annotations

from qcore.hookspecs import hookimpl
from qcore.plugins import Provider


@hookimpl
def qcore_brokers() -> list[Provider]:
    """Name the broker; redis-py is imported when it is first used."""
    return [
        Provider(
            "redis",
            "qcore_redis.broker:RedisBroker",
            claims=("redis", "django_redis"),
        )
    ]
