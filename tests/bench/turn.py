"""What both sides of a turn know: the harness, and the peer in its own environment."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import Any

_VARIABLE = "BENCH_TURN"


@dataclass(frozen=True, slots=True)
class Turn:
    """One peer with its options, its services and its empty file of records."""

    peer: str
    store: str  # sqlite, postgres or redis: what holds the queue
    redis: str  # URL of a database of its own, or ""
    database: dict[str, Any]  # Django's entry, with CONN_MAX_AGE
    records: str  # path
    workers: int
    options: dict[str, Any] = field(default_factory=dict)  # of the peer's variant
    apps: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)  # Django's, beside the usual

    @property
    def dsn(self) -> str:
        """The PostgreSQL database as a URL."""
        at = self.database
        return f"postgresql://{at['USER']}@{at['HOST']}:{at['PORT']}/{at['NAME']}"

    def environment(self) -> dict[str, str]:
        """Return what tells another process of this turn."""
        return {
            _VARIABLE: json.dumps(asdict(self)),
            "BENCH_RECORDS": self.records,
            "DJANGO_SETTINGS_MODULE": "bench_settings",
        }


def under_way() -> bool:
    """Tell whether this is the peer's side."""
    return _VARIABLE in os.environ


def current() -> Turn:
    """Return the turn that this process is a part of."""
    return Turn(**json.loads(os.environ[_VARIABLE]))
