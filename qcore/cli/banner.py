"""What `qcore cluster` says when it starts: the facts that explain what it will do."""

from __future__ import annotations

from .. import __version__, status
from ..conf import Conf
from ..errors import BrokerError
from ..monitor.text import facts
from ..plugins import BUILTIN
from ..runtime import current


def lines() -> list[str]:
    """Return the banner, eight lines; asks the broker for its version.

    Raises:
        ConfigError, PluginError: the settings name a broker that cannot be made.
    """
    conf = current.conf
    return [
        f"qcore {__version__}, cluster of project {conf.name}",
        *facts(
            [
                ("broker", _broker()),
                ("queue", conf.queue),
                ("workers", _workers(conf)),
                ("tasks", f"{_lease(conf)}; {_timeout(conf)}"),
                ("schedules", _schedules(conf)),
                ("plugins", _plugins()),
                ("status", _route(conf)),
            ]
        ),
    ]


def _broker() -> str:
    broker = current.broker()
    try:
        return broker.info()
    except BrokerError as error:
        return f"out of reach: {error}"  # it names the service and its address


def _workers(conf: Conf) -> str:
    age = f"replaced after {conf.recycle:,} tasks" if conf.recycle else "never replaced"
    size = f" or above {conf.max_rss:,} kB" if conf.max_rss else ""
    return f"{conf.workers}, {age}{size}"


def _lease(conf: Conf) -> str:
    renewed = "renewed while they run" if conf.renews else "not renewed"
    return f"lease {conf.lease:g} s, {renewed}"


def _timeout(conf: Conf) -> str:
    if conf.timeout is None:
        return "no timeout"
    return f"timeout {conf.timeout:g} s, killed {conf.grace:g} s later"


def _schedules(conf: Conf) -> str:
    if not conf.scheduler:
        return "not fired by this cluster"
    return f"fired in time zone {conf.time_zone or 'of the host'}"


def _plugins() -> str:
    found = {p.label for p in current.registry.plugins if p.module != BUILTIN}
    return ", ".join(sorted(found)) or "none but what comes with qcore"


def _route(conf: Conf) -> str:
    way = status.route()
    if way == "cache":
        return f"through the cache {current.cache.info()}"
    if way == "broker":
        return (
            f"through the broker, as the cache {current.cache.info()} is private to a"
            " process"
        )
    return "nowhere: set CACHES to a cache that processes share, to see it"
