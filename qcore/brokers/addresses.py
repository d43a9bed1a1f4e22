"""Where a service listens: ``host:port``, as it stands in the settings of a broker."""

from __future__ import annotations

import re
from typing import NamedTuple

# A name, an IPv4 address or an IPv6 address in brackets; then a port, if it is another.
_ADDRESS = re.compile(
    r"(?P<host>[^\s:@/\[\]]+|\[[^\s@/\[\]]+\])(?::(?P<port>\d{1,5}))?"
)


class Address(NamedTuple):
    """A host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return ``host:port``, with an IPv6 address in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def read_address(text: str, default_port: int) -> Address | None:
    """Return the address that a text names; None when the text names none.

    Args:
        text: ``host``, ``host:port`` or ``[IPv6]:port``. Blanks around it are no harm, for
            a list of addresses is often split out of an environment variable.
        default_port: of a text without a port.
    """
    match = _ADDRESS.fullmatch(text.strip())
    if match is None:
        return None
    port = int(match["port"] or default_port)
    return Address(match["host"].strip("[]"), port) if 0 < port < 65_536 else None
