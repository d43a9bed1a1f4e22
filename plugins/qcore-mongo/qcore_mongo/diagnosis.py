"""What is right and wrong with a server as the place of a queue; for ``qcore doctor``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from qcore.findings import Finding, error, ok, warning

#: From here on a comparison with the server's clock uses the bounds of an index, and
#: writes wait for the majority of a replica set by default.
MODERN = 5


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a server and of a queue in it."""

    address: str  # without secrets
    hello: dict[str, Any]  # the reply to the command of this name
    version: str  # such as 8.2.11; empty when it does not tell
    concern: dict[str, Any]  # the write concern: w, j, wtimeout, where they are set
    made: bool  # the queue exists
    indexed: bool  # it has the index that claims need


def diagnose(facts: Facts) -> list[Finding]:
    """Return the findings on a server and a queue in it."""
    return [*_role(facts), *_copies(facts), *_speed(facts)]


def _role(facts: Facts) -> Iterator[Finding]:
    if not facts.hello.get("isWritablePrimary", facts.hello.get("ismaster", True)):
        yield error(
            f"{facts.address} is not the primary: it takes no tasks",
            "Remove 'directConnection' from Q_CLUSTER['mongo'], and set 'replicaSet'.",
        )


def _copies(facts: Facts) -> Iterator[Finding]:
    if facts.concern.get("j") is False:
        yield warning(
            "journal is off: a server that is killed loses the last tasks",
            "Remove 'journal' from Q_CLUSTER['mongo'], or welcome that loss.",
        )
    if "setName" not in facts.hello:
        return
    old = 0 < _major(facts.version) < MODERN
    w = facts.concern.get("w", 1 if old else "majority")
    if w == 1:
        yield warning(
            "writes wait for one server of the replica set: a failover may lose the"
            " last tasks",
            "Set Q_CLUSTER['mongo']['w'] to 'majority'.",
        )
    else:
        yield ok(f"writes wait for the replica set (w: {w})")


def _speed(facts: Facts) -> Iterator[Finding]:
    if 0 < _major(facts.version) < MODERN:
        yield warning(
            f"MongoDB {facts.version} reads an index entry for each claimed or delayed"
            " task whenever a cluster looks for work",
            "Use MongoDB 5.0 or later where thousands of tasks are claimed or delayed.",
        )
    if facts.indexed:
        yield ok("the queue has its index")
    elif facts.made:
        yield warning(
            "the queue has no index on (visible, _id): each claim reads all of it",
            "Start a cluster: it makes the index within a minute.",
        )


def _major(version: str) -> int:
    """Return 8 of ``8.2.11``; 0 when it is no number."""
    first = version.partition(".")[0]
    return int(first) if first.isdecimal() else 0
