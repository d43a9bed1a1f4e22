"""The setting ``disque_nodes``, read: where the nodes are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from qcore.errors import ConfigError
from qcore.masking import MASK

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_PORT = 7711  # Disque's own
LOCALHOST = (f"127.0.0.1:{DEFAULT_PORT}",)

# A name, an IPv4 address or an IPv6 address in brackets; then a port, if it is another.
_NODE = re.compile(r"(?P<host>[^\s:@/\[\]]+|\[[^\s@/\[\]]+\])(?::(?P<port>\d{1,5}))?")


class Address(NamedTuple):
    """Where a node listens."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return ``host:port``, as it stands in the settings."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def read_addresses(nodes: Iterable[str] | None) -> list[Address]:
    """Return each address once, in the order of the setting.

    Args:
        nodes: texts ``host:port``; blanks around them are no harm, for such a list is
            often split out of an environment variable. None is this host.

    Raises:
        ConfigError: a text is something else.
    """
    texts = LOCALHOST if nodes is None else nodes
    return list(dict.fromkeys(_read(text) for text in texts))


def _read(text: str) -> Address:
    match = _NODE.fullmatch(text.strip())
    port = int(match["port"] or DEFAULT_PORT) if match else 0
    if match is None or not 0 < port < 65_536:
        raise ConfigError(
            f"Q_CLUSTER['disque_nodes']: {_masked(text)!r} is not a node. Expected"
            " 'host:port', such as '127.0.0.1:7711'; a password goes under"
            " 'disque_auth'."
        )
    return Address(match["host"].strip("[]"), port)


def _masked(text: str) -> str:
    """Hide what stands before the @ of a URL: it may be a password."""
    _, at, place = text.rpartition("@")
    return f"{MASK}@{place}" if at else text
