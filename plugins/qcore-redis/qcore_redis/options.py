"""The settings ``redis`` and ``django_redis``, turned into a source of connections."""

from __future__ import annotations

import inspect
import re
import socket
from collections.abc import Container
from functools import cache
from typing import TYPE_CHECKING, Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import SentinelConnectionPool

from qcore.errors import ConfigError, did_you_mean
from qcore.masking import mask_url

if TYPE_CHECKING:
    from qcore.conf import Conf

# Seconds. A web request must learn within two that a task cannot be sent.
CONNECT_SECONDS = 1.5
# The documented names of early redis-py, and what the driver calls them today.
RENAMED = {"charset": "encoding", "errors": "encoding_errors"}
# What a pool tells its own connections, by the first letters.
_OF_A_POOL = ("connection_pool", "maint_", "orig_", "oss_", "himport_")
# What would take the connection out of our hands.
_RESERVED = {"self", "connection_pool", "single_connection_client"}


def make_pool(conf: Conf, reply_seconds: float) -> redis.ConnectionPool:
    """Return what makes connections for the settings; nothing is connected yet.

    Args:
        conf: its ``django_redis`` wins over its ``redis``; neither is localhost.
        reply_seconds: how long a reply may take, unless 'socket_timeout' says it.

    Raises:
        ConfigError: an option is unknown or wrong, or django-redis is not there.
    """
    alias, given = conf.options.get("django_redis"), conf.options.get("redis")
    if alias is not None:
        pool = _from_django_redis(alias, reply_seconds)
    elif isinstance(given, str):
        pool = _from_url(given, reply_seconds)
    else:
        pool = _from_dict(given or {}, reply_seconds)
    # Packages are bytes, whatever a URL or a cache wants; and a driver that repeats a
    # command whose reply was lost would store a package twice.
    pool.connection_kwargs["decode_responses"] = False
    pool.connection_kwargs["retry"] = Retry(NoBackoff(), 0)
    return pool


def address(pool: redis.ConnectionPool) -> str:
    """Return the URL of the server without secrets: ``redis://***@localhost:6379/0``."""
    options = pool.connection_kwargs
    user = "***@" if options.get("password") or options.get("username") else ""
    database = options.get("db") or 0
    if isinstance(pool, SentinelConnectionPool):
        return f"redis+sentinel://{user}{pool.service_name}/{database}"
    if "path" in options:
        return f"unix://{user}{options['path']}?db={database}"
    secure = issubclass(pool.connection_class, redis.SSLConnection)
    scheme = "rediss" if secure else "redis"
    host, port = options.get("host", "localhost"), options.get("port", 6379)
    return f"{scheme}://{user}{host}:{port}/{database}"


def _from_dict(given: dict[str, Any], reply_seconds: float) -> redis.ConnectionPool:
    known = set(inspect.signature(redis.Redis.__init__).parameters) - _RESERVED
    for name in given:
        if name not in known | RENAMED.keys():
            near = did_you_mean(name, known | RENAMED.keys())
            raise ConfigError(f"Q_CLUSTER['redis']: unknown option {name!r}{near}")
    options = {RENAMED.get(name, name): value for name, value in given.items()}
    on_network = options.get("unix_socket_path") is None
    for name, value in _defaults(reply_seconds, options, on_network=on_network).items():
        if options.get(name) is None:
            options[name] = value
    try:
        return redis.Redis(**options).connection_pool
    except (TypeError, ValueError, redis.RedisError) as error:
        raise ConfigError(f"Q_CLUSTER['redis']: {error}") from error


def _from_url(url: str, reply_seconds: float) -> redis.ConnectionPool:
    on_network = not url.startswith("unix:")
    defaults = _defaults(reply_seconds, url, on_network=on_network)
    try:
        pool = redis.ConnectionPool.from_url(url, **defaults)
    except ValueError as error:
        raise ConfigError(
            f"Q_CLUSTER['redis'] is {mask_url(url)!r}, which is not a URL of Redis:"
            f" {mask_url(str(error))}. Expected redis://user:password@host:6379/0,"
            " rediss:// for TLS, or unix:///path/of/socket?db=0."
        ) from None  # its traceback would show the password
    for old, new in RENAMED.items():
        if old in pool.connection_kwargs:
            pool.connection_kwargs[new] = pool.connection_kwargs.pop(old)
    try:
        pool.connection_class(**pool.connection_kwargs)
    except TypeError as error:
        unknown = re.search(r"argument '(\w+)'", str(error))
        what = f"unknown option {unknown[1]!r} in the URL" if unknown else str(error)
        raise ConfigError(f"Q_CLUSTER['redis']: {what}") from None
    return pool


def _from_django_redis(alias: str, reply_seconds: float) -> redis.ConnectionPool:
    """Copy the pool of a cache, so that our time-outs are not those of the cache."""
    try:
        from django_redis import get_redis_connection
    except ImportError as error:
        raise ConfigError(
            f"Q_CLUSTER['django_redis'] is {alias!r}, but django-redis is not installed."
            " Run: pip install \"django-redis>=6\", or set Q_CLUSTER['redis'] instead."
        ) from error
    try:
        shared = get_redis_connection(alias).connection_pool
    except Exception as error:  # noqa: BLE001 - of Django, django-redis or its clients
        raise ConfigError(
            f"Q_CLUSTER['django_redis'] is {alias!r}, which is not the alias of a"
            f" django-redis cache: {mask_url(str(error))}. Expected a key of CACHES"
            " with the backend django_redis.cache.RedisCache."
        ) from None
    options = {
        name: value
        for name, value in shared.connection_kwargs.items()
        if not name.startswith(_OF_A_POOL)
    }
    on_network = "path" not in options
    for name, value in _defaults(reply_seconds, options, on_network=on_network).items():
        if options.get(name) is None:
            options[name] = value
    if isinstance(shared, SentinelConnectionPool):
        return SentinelConnectionPool(  # type: ignore[no-untyped-call]
            shared.service_name, shared.sentinel_manager, **options
        )
    return redis.ConnectionPool(connection_class=shared.connection_class, **options)


def _defaults(
    reply_seconds: float, given: Container[str], *, on_network: bool
) -> dict[str, Any]:
    """Return the options that hold where the project says nothing, or None.

    Args:
        reply_seconds: how long a reply may take.
        given: the names of what it says, or the URL that they are in.
        on_network: whether the server is not behind a Unix socket.
    """
    options: dict[str, Any] = {
        "socket_timeout": reply_seconds,
        # redis-py 8 would open with HELLO 3, which old proxies refuse.
        "protocol": 2,
    }
    if "lib_name" not in given and "lib_version" not in given:
        options |= _driver()
    if on_network:
        options["socket_connect_timeout"] = CONNECT_SECONDS
        options["socket_keepalive"] = True
        options["socket_keepalive_options"] = _keepalive()
    return options


@cache
def _driver() -> dict[str, Any]:
    """Return what the driver tells the server about itself, looked up once.

    By itself it reads the file with its version for each connection that is made: 5 ms
    and, in a process that was forked, 2.3 MB of pages that are copied for it.
    """
    if "driver_info" not in inspect.signature(redis.Redis.__init__).parameters:
        return {}  # an earlier redis-py, which does so once
    from redis.driver_info import DriverInfo

    return {"driver_info": DriverInfo()}


def _keepalive() -> dict[int, int]:
    """Have the kernel find a dead peer in 30 s while nothing is sent."""
    wanted = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
    return {
        getattr(socket, name): value
        for name, value in wanted.items()
        if hasattr(socket, name)
    }
