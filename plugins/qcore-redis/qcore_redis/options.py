"""The settings ``redis`` and ``django_redis``, turned into a source of connections."""

from __future__ import annotations

import inspect
import re
import socket
from collections.abc import Container, Mapping, Sequence
from functools import cache
from typing import Any, Protocol
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from qcore.brokers.addresses import Address
from qcore.errors import ConfigError, did_you_mean
from qcore.masking import mask_url

from .addresses import REDIS_PORT, SENTINEL_PORT, read_addresses


class HasOptions(Protocol):
    """What is read of the settings: the values of plugins, by their names."""

    @property
    def options(self) -> Mapping[str, Any]:
        """The values; ``redis`` and ``django_redis`` say where the server is."""
        ...


# Seconds. A web request must learn within two that a task cannot be sent.
CONNECT_SECONDS = 1.5
# The least that one of several nodes gets to be connected, and the most that a Sentinel
# may take to name the master.
LEAST_CONNECT_SECONDS = 0.3
SENTINEL_SECONDS = 0.5
# The documented names of early redis-py, and what the driver calls them today.
RENAMED = {"charset": "encoding", "errors": "encoding_errors"}
# What a pool tells its own connections, by the first letters.
_OF_A_POOL = ("connection_pool", "maint_", "orig_", "oss_", "himport_")
# What would take the connection out of our hands.
_RESERVED = {"self", "connection_pool", "single_connection_client"}
# Options of ours, beside those of the client.
_OURS = {"startup_nodes", "sentinels", "service_name", "sentinel_kwargs"}
# Words of other libraries, and what to say instead of them.
_INSTEAD = {
    "cluster": "A Redis Cluster is recognised; name its nodes under 'startup_nodes'",
    "is_cluster": "A Redis Cluster is recognised; name its nodes under 'startup_nodes'",
    "sentinel": "Name the Sentinels under 'sentinels', and the master under"
    " 'service_name'",
    "master_name": "Name the master under 'service_name'",
}
_SENTINEL = "{'sentinels': ['host:26379'], 'service_name': 'mymaster'}"


def make_pool(conf: HasOptions, reply_seconds: float) -> redis.ConnectionPool:
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
    elif isinstance(given, list):
        pool = _from_url(given[0], reply_seconds)
    else:
        pool = _from_dict(given or {}, reply_seconds)
    # Packages are bytes, whatever a URL or a cache wants; and a driver that repeats a
    # command whose reply was lost would store a package twice.
    pool.connection_kwargs["decode_responses"] = False
    pool.connection_kwargs["retry"] = Retry(NoBackoff(), 0)
    return pool


def seeds(conf: HasOptions) -> list[Address]:
    """Return the nodes of a cluster that are asked in turn; none where one is named.

    Raises:
        ConfigError: URLs differ in more than their hosts and ports.
    """
    given = conf.options.get("redis")
    if conf.options.get("django_redis") is not None or not isinstance(
        given, dict | list
    ):
        return []
    if isinstance(given, dict):
        nodes = given.get("startup_nodes")
        return (
            [] if nodes is None else read_addresses(nodes, "startup_nodes", REDIS_PORT)
        )
    parts = [urlsplit(url) for url in given]
    if len({part._replace(netloc=_login(part.netloc)) for part in parts}) > 1:
        raise ConfigError(
            "Q_CLUSTER['redis'] is a list of URLs that differ in more than host and"
            " port. They are the nodes of one Redis Cluster: give all of them the"
            " same scheme, user, password, database and options."
        )
    nodes = [(part.hostname or "localhost", part.port or REDIS_PORT) for part in parts]
    return [Address(*node) for node in dict.fromkeys(nodes)]


def _login(netloc: str) -> str:
    """Return what stands before the host of a URL."""
    return netloc.rpartition("@")[0]


def address(pool: redis.ConnectionPool, nodes: Sequence[Address] = ()) -> str:
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
    places = ",".join(map(str, nodes)) or f"{host}:{port}"
    return f"{scheme}://{user}{places}/{database}"


def _from_dict(given: dict[str, Any], reply_seconds: float) -> redis.ConnectionPool:
    known = set(inspect.signature(redis.Redis.__init__).parameters) - _RESERVED
    known |= RENAMED.keys() | _OURS
    for name in given:
        if name in known:
            continue
        near = did_you_mean(name, known)
        if name in _INSTEAD:
            near = f". {_INSTEAD[name]}."
        raise ConfigError(f"Q_CLUSTER['redis']: unknown option {name!r}{near}")
    _check_places(given)
    options = {
        RENAMED.get(name, name): value
        for name, value in given.items()
        if name not in _OURS
    }
    on_network = options.get("unix_socket_path") is None
    for name, value in _defaults(reply_seconds, options, on_network=on_network).items():
        if options.get(name) is None:
            options[name] = value
    try:
        pool = redis.Redis(**options).connection_pool
        if given.get("sentinels") is None:
            return pool
        return _through_sentinels(given, pool)
    except (TypeError, ValueError, redis.RedisError) as error:
        raise ConfigError(f"Q_CLUSTER['redis']: {error}") from error


def _check_places(given: dict[str, Any]) -> None:
    """Refuse options about places that contradict each other."""
    ways = [
        name
        for name in ("sentinels", "startup_nodes", "unix_socket_path", "host")
        if given.get(name) is not None
    ]
    if len(ways) > 1:
        raise ConfigError(
            f"Q_CLUSTER['redis'] has {ways[0]!r} and {ways[1]!r}, which are two ways to"
            " say where the server is. Keep one of them."
        )
    if (given.get("sentinels") is None) != (given.get("service_name") is None):
        raise ConfigError(
            "Q_CLUSTER['redis']: 'sentinels' and 'service_name', the name of the master,"
            f" go together, as in {_SENTINEL}."
        )


def _through_sentinels(
    given: dict[str, Any], pool: redis.ConnectionPool
) -> redis.ConnectionPool:
    """Return a source of connections to the master that Sentinels know."""
    places = read_addresses(given["sentinels"], "sentinels", SENTINEL_PORT)
    options = {
        name: value
        for name, value in pool.connection_kwargs.items()
        if name not in ("host", "port") and not name.startswith(_OF_A_POOL)
    }
    # One after the other is asked; they share the time that connecting may take.
    about_sentinels = {
        "socket_timeout": min(options["socket_timeout"], SENTINEL_SECONDS),
        "socket_connect_timeout": max(
            options["socket_connect_timeout"] / len(places), LEAST_CONNECT_SECONDS
        ),
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
        **(given.get("sentinel_kwargs") or {}),
    }
    manager = Sentinel(  # type: ignore[no-untyped-call]
        [tuple(place) for place in places], sentinel_kwargs=about_sentinels
    )
    # it chooses a class of its own for connections, with TLS or without
    secure = issubclass(pool.connection_class, redis.SSLConnection)
    return SentinelConnectionPool(  # type: ignore[no-untyped-call]
        given["service_name"], manager, ssl=secure, **options
    )


def _from_url(url: str, reply_seconds: float) -> redis.ConnectionPool:
    on_network = not url.startswith("unix:")
    defaults = _defaults(reply_seconds, url, on_network=on_network)
    try:
        pool = redis.ConnectionPool.from_url(url, **defaults)
    except ValueError as error:
        raise ConfigError(
            f"Q_CLUSTER['redis'] is {mask_url(url)!r}, which is not a URL of Redis:"
            f" {mask_url(str(error)).rstrip('.')}. Expected"
            " redis://user:password@host:6379/0, rediss:// for TLS, or"
            f" unix:///path/of/socket?db=0.{_advice(url)}"
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


def _advice(url: str) -> str:
    """Return what to write for a URL in the style of another library."""
    scheme = url.partition(":")[0].lower()
    if "cluster" in scheme:
        return (
            " A Redis Cluster has no scheme: give a list of redis:// URLs of its nodes."
        )
    if "sentinel" in scheme:
        return f" Sentinel has no URL: set Q_CLUSTER['redis'] to {_SENTINEL}."
    return ""


def _from_django_redis(alias: str, reply_seconds: float) -> redis.ConnectionPool:
    """Copy the pool of a cache, so that our timeouts are not those of the cache."""
    try:
        from django_redis import get_redis_connection
    except ImportError as error:
        raise ConfigError(
            f"Q_CLUSTER['django_redis'] is {alias!r}, but django-redis is not installed."
            " Run: pip install \"django-redis>=6\", or set Q_CLUSTER['redis'] instead."
        ) from error
    _check_factory(alias)
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


def _check_factory(alias: str) -> None:
    """Refuse a cache of Sentinel without the factory that knows Sentinels.

    django-redis then takes the name of the master for that of a host, or fails with an
    error that does not tell what is missing.
    """
    from django.conf import settings

    cache: Any = settings.CACHES.get(alias, {})
    given: dict[str, Any] = cache.get("OPTIONS", {})
    of_sentinel = "SENTINELS" in given or "Sentinel" in str(given.get("CLIENT_CLASS"))
    factory = getattr(settings, "DJANGO_REDIS_CONNECTION_FACTORY", None)
    if of_sentinel and not given.get("CONNECTION_FACTORY", factory):
        raise ConfigError(
            f"Q_CLUSTER['django_redis'] is {alias!r}, a cache of Sentinel without a"
            " connection factory. Set OPTIONS['CONNECTION_FACTORY'] of the cache to"
            " 'django_redis.pool.SentinelConnectionFactory'."
        )


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
