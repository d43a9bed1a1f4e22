"""The setting ``disque_nodes``, read: where the nodes are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcore.brokers.addresses import Address, read_address
from qcore.errors import ConfigError
from qcore.masking import MASK

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_PORT = 7711  # Disque's own
LOCALHOST = (f"127.0.0.1:{DEFAULT_PORT}",)


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
    if (address := read_address(text, DEFAULT_PORT)) is None:
        raise ConfigError(
            f"Q_CLUSTER['disque_nodes']: {_masked(text)!r} is not a node. Expected"
            " 'host:port', such as '127.0.0.1:7711'; a password goes under"
            " 'disque_auth'."
        )
    return address


def _masked(text: str) -> str:
    """Hide what stands before the @ of a URL: it may be a password."""
    _, at, place = text.rpartition("@")
    return f"{MASK}@{place}" if at else text
