"""Whether a certificate is still true of the class and of the contract that it names."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from ... import testing
from ..certificate import SCHEMA


def problems(certificate: Mapping[str, Any]) -> list[str]:
    """Return the wrong and the outdated statements of a certificate; ``[]`` if there are none.

    Its class must have the capabilities and the batch that are written there, every
    test that the contract has today must be named, and none may have failed.
    """
    if certificate.get("schema") != SCHEMA:
        return [f"the schema is {certificate.get('schema')!r}, and {SCHEMA!r} is known"]
    found = []
    for suite in certificate["suites"]:
        contract = getattr(testing, suite["contract"])
        named = {*suite["passed"], *suite["skipped"], *suite["failed"]}
        asked = {name for name in dir(contract) if name.startswith("test_")}
        answered = {name.partition("[")[0] for name in named}
        said = [f"{name} is not in it" for name in sorted(asked - answered)]
        said += [f"{name} is no test of today" for name in sorted(answered - asked)]
        said += [f"{name} failed" for name in suite["failed"]]
        said += [
            f"{name} passed, but is not the contract's own test"
            for name in suite["replaced"]
            if any(one.partition("[")[0] == name for one in suite["passed"])
        ]
        said += _changes(suite["broker"])
        found += [f"{suite['suite']}: {text}" for text in said]
    return found


def _changes(broker: Mapping[str, Any] | None) -> list[str]:
    if broker is None:
        return []
    module, _, name = broker["class"].partition(":")
    kind = getattr(import_module(module), name)
    said = {**broker["capabilities"], "max_batch": broker["max_batch"]}
    now = {**kind.capabilities(), "max_batch": kind.max_batch}
    return [
        f"{key} was {said.get(key)!r}, and is {now.get(key)!r}"
        for key in sorted(said | now)
        if said.get(key) != now.get(key)
    ]
