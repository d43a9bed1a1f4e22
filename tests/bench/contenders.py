"""Contenders: a peer, perhaps with a variant, like ``huey`` or ``pgqueuer:batch100``."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

#: Peers by the name of their package; each has a module of that name.
PEERS = sorted(
    path.stem.replace("_", "-")
    for path in (Path(__file__).parent / "peers").glob("[a-z]*.py")
)


def load(peer: str) -> ModuleType:
    """Return the adapter of a peer; see the docstring of ``peers`` for what is in it."""
    return importlib.import_module(f"peers.{peer.replace('-', '_')}")


@dataclass(frozen=True, slots=True)
class Contender:
    """One row of a table."""

    peer: str
    variant: str = ""

    @property
    def name(self) -> str:
        """``peer:variant`` as on the command line."""
        return f"{self.peer}:{self.variant}" if self.variant else self.peer

    @property
    def label(self) -> str:
        """A name for files and databases."""
        return re.sub(r"\W", "_", self.name)

    @property
    def options(self) -> dict[str, Any]:
        """What its variant says."""
        if not self.variant:
            return {}
        known: dict[str, dict[str, Any]] = load(self.peer).VARIANTS
        return known[self.variant]

    @property
    def has_batches(self) -> bool:
        """Whether its peer can enqueue many tasks with one call."""
        return hasattr(load(self.peer), "enqueue_many")

    @property
    def has_filler(self) -> bool:
        """Whether results can be left behind without running so many tasks."""
        module = load(self.peer)
        return hasattr(module, "fill_results") or hasattr(module, "finish_all")

    @property
    def has_schedules(self) -> bool:
        """Whether its peer fires schedules that are rows of a database."""
        return hasattr(load(self.peer), "make_due")

    @property
    def has_ledger(self) -> bool:
        """Whether its peer has an outbox and can cancel tasks."""
        return hasattr(load(self.peer), "fill_ledger")


def parse(words: str, store: str) -> list[Contender]:
    """Return the contenders that comma-separated words name; ``all`` is every peer.

    Raises:
        ValueError: a name is unknown, or its peer has no such store or variant.
    """
    if words == "all":
        return [Contender(p) for p in PEERS if store in load(p).STORES]
    return [_parse_one(word, store) for word in words.split(",")]


def _parse_one(word: str, store: str) -> Contender:
    peer, _, variant = word.partition(":")
    if peer not in PEERS:
        raise ValueError(f"unknown peer {peer!r}; known: {', '.join(PEERS)}")
    module = load(peer)
    if store not in module.STORES:
        stores = ", ".join(module.STORES)
        raise ValueError(f"{peer} has no queue on {store}; it has {stores}")
    if variant and variant not in module.VARIANTS:
        variants = ", ".join(module.VARIANTS) or "none"
        raise ValueError(f"{peer} has no variant {variant!r}; it has {variants}")
    return Contender(peer, variant)
