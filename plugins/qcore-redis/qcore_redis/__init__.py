"""Redis broker for qcore, built on streams; works with Valkey and django-redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qcore import Provider, Setting, hookimpl

if TYPE_CHECKING:
    from qcore import Conf


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


@hookimpl
def qcore_settings() -> list[Setting]:
    """Describe what the broker reads of Q_CLUSTER."""
    return [
        Setting(
            "redis",
            dict[str, Any] | str | list[str] | None,
            "Redis or Valkey: arguments of the redis-py client, a URL, or a list of URLs"
            " of the nodes of a Redis Cluster.",
            check=lambda given: given not in ("", []),
            expects="a dict, a URL, a list of URLs or None",
            secret=True,
            group="broker",
        ),
        Setting(
            "django_redis",
            str | None,
            "Alias of the django-redis cache whose connection to Redis is used.",
            minimum=1,
            expects="the alias of a cache or None",
            group="broker",
        ),
        Setting(
            "redis_limiter",
            dict[str, Any] | str | list[str] | None,
            "The server of `'limiter': 'redis'`, written as `redis` is. None: that of"
            " `django_redis` or `redis`.",
            check=lambda given: given not in ("", []),
            expects="a dict, a URL, a list of URLs or None",
            secret=True,
            group="tasks",
        ),
    ]


@hookimpl
def qcore_checks(conf: Conf) -> list[Any]:
    """Return a warning where both ways to a server are set."""
    if conf.broker_class or not (
        conf.selects("redis") and conf.selects("django_redis")
    ):
        return []
    from django.core.checks import Warning

    return [
        Warning(
            "redis has no effect: django_redis is set, too, and wins.",
            hint="Keep one of the two.",
            id="qcore_redis.W001",
        )
    ]
