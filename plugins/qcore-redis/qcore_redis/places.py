"""Where servers are: seeds of a Redis Cluster, and Sentinels, read from the settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from qcore.errors import ConfigError
from qcore.masking import mask_url

REDIS_PORT, SENTINEL_PORT = 6379, 26379

# A name, an IPv4 address or an IPv6 address in brackets; then a port, if it is another.
_PLACE = re.compile(r"(?P<host>[^\s:@/\[\]]+|\[[^\s@/\[\]]+\])(?::(?P<port>\d{1,5}))?")


class Place(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return ``host:port``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def read_places(given: Any, option: str, default_port: int) -> list[Place]:
    """Return each place once, in the order of the setting.

    Args:
        given: a list of ``"host:port"``, ``("host", port)`` or ``{"host":, "port":}``.
        option: its name, for messages.
        default_port: of a place that names none.

    Raises:
        ConfigError: it is something else, or empty.
    """
    if not isinstance(given, list | tuple) or not given:
        raise _wrong(option, given, default_port)
    places = [_read(one, default_port) for one in given]
    for one, place in zip(given, places, strict=True):
        if place is None:
            raise _wrong(option, one, default_port)
    return list(dict.fromkeys(place for place in places if place is not None))


def _read(given: Any, default_port: int) -> Place | None:
    if isinstance(given, str):
        match = _PLACE.fullmatch(given.strip())
        if match is None:
            return None
        given = (match["host"].strip("[]"), int(match["port"] or default_port))
    elif isinstance(given, Mapping) and given.keys() <= {"host", "port"}:
        given = (given.get("host"), given.get("port", default_port))
    if not isinstance(given, list | tuple) or len(given) != 2:
        return None
    host, port = given
    good = isinstance(host, str) and host and type(port) is int and 0 < port < 65_536
    return Place(host, port) if good else None


def _wrong(option: str, given: Any, port: int) -> ConfigError:
    shown = mask_url(given) if isinstance(given, str) else given
    return ConfigError(
        f"Q_CLUSTER['redis']['{option}']: {shown!r} is not what is expected: a list of"
        f" 'host:port' or ('host', port), such as ['127.0.0.1:{port}']."
    )
