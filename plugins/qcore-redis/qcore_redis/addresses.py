"""Where servers are: seeds of a Redis Cluster, and Sentinels, read from the settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qcore.brokers.addresses import Address, read_address
from qcore.errors import ConfigError
from qcore.masking import mask_url

REDIS_PORT, SENTINEL_PORT = 6379, 26379


def read_addresses(given: Any, option: str, default_port: int) -> list[Address]:
    """Return each address once, in the order of the setting.

    Args:
        given: a list of ``"host:port"``, ``("host", port)`` or ``{"host":, "port":}``.
        option: its name, for messages.
        default_port: of an address that names none.

    Raises:
        ConfigError: it is something else, or empty.
    """
    if not isinstance(given, list | tuple) or not given:
        raise _wrong(option, given, default_port)
    found: dict[Address, None] = {}
    for one in given:
        if (address := _read(one, default_port)) is None:
            raise _wrong(option, one, default_port)
        found[address] = None
    return list(found)


def _read(given: Any, default_port: int) -> Address | None:
    if isinstance(given, str):
        return read_address(given, default_port)
    if isinstance(given, Mapping) and given.keys() <= {"host", "port"}:
        given = (given.get("host"), given.get("port", default_port))
    if not isinstance(given, list | tuple) or len(given) != 2:
        return None
    host, port = given
    good = isinstance(host, str) and host and type(port) is int and 0 < port < 65_536
    return Address(host, port) if good else None


def _wrong(option: str, given: Any, port: int) -> ConfigError:
    shown = mask_url(given) if isinstance(given, str) else given
    return ConfigError(
        f"Q_CLUSTER['redis']['{option}']: {shown!r} is not what is expected: a list of"
        f" 'host:port' or ('host', port), such as ['127.0.0.1:{port}']."
    )
