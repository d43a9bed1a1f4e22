"""What the tests of the contracts have found, from the committed certificates."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from .plugins import ROOT

#: Folders with a certificate; that of the core has the broker `memory`.
_FOLDERS = ("tests/core", "plugins/*")


def certificates() -> list[dict[str, Any]]:
    """Return every committed certificate; that of the core first."""
    paths = [
        path
        for folder in _FOLDERS
        for path in sorted(ROOT.glob(f"{folder}/certificate.json"))
    ]
    return [json.loads(path.read_text()) for path in paths]


def capabilities() -> dict[str, dict[str, bool]]:
    """Return the capabilities that each certified class was found to have."""
    return {
        suite["broker"]["class"]: suite["broker"]["capabilities"]
        for certificate in certificates()
        for suite in certificate["suites"]
        if suite["broker"]
    }


def table() -> str:
    """Return one row for each service that a broker, and each reporter, was tried on."""
    rows = [
        "| plugin | tried on | tests passed | not asked, and why | qcore | date |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    rows += [
        _row(certificate, suite)
        for certificate in certificates()
        for suite in certificate["suites"]
        if suite["contract"] != "PluginContract"
    ]
    return "\n".join(rows)


def features() -> str:
    """Return which promises about tasks that wait each broker was found to keep."""
    passed: dict[str, list[set[str]]] = {}
    for certificate in certificates():
        for suite in certificate["suites"]:
            if suite["contract"] == "BrokerContract":
                name = certificate["distribution"].removeprefix("qcore-")
                passed.setdefault(name.replace("qcore", "memory"), []).append(
                    set(suite["passed"])
                )
    names = sorted(passed)
    promises = sorted({one for suites in passed.values() for one in set.union(*suites)})
    rows = [
        f"| the core, or a plugin | {' | '.join(names)} |",
        f"| --- |{' --- |' * len(names)}",
    ]
    for promise in filter(_is_of_features, promises):
        cells = [_kept(promise, passed[name]) for name in names]
        rows.append(f"| {_sentence(promise)} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _is_of_features(test: str) -> bool:
    from qcore.testing.contracts.brokers.waiting import WaitingContract

    return hasattr(WaitingContract, test.partition("[")[0])


def _kept(promise: str, suites: list[set[str]]) -> str:
    """Return on how many services of a broker a promise was found to be kept."""
    count = sum(promise in suite for suite in suites)
    return "yes" if count == len(suites) else f"{count} of {len(suites)}"


def _sentence(test: str) -> str:
    name, _, case = test.rstrip("]").partition("[")
    words = name.removeprefix("test_").replace("_", " ")
    if name == "test_scenarios_of_plugins":
        return case
    return f"{words} ({case})" if case else words


def _row(certificate: dict[str, Any], suite: dict[str, Any]) -> str:
    reasons = Counter(map(_shortened, suite["skipped"].values()))
    skipped = ", ".join(f"{text} ({count})" for text, count in reasons.most_common())
    cells = (
        certificate["distribution"],
        _subject(suite),
        str(len(suite["passed"])),
        skipped or "-",
        certificate["qcore"],
        certificate["date"],
    )
    return f"| {' | '.join(cells)} |"


def _subject(suite: dict[str, Any]) -> str:
    """Return what was tried, and on which service; a feature has suites of one service."""
    name = suite["suite"].removeprefix("Test")
    if suite["contract"] == "FeatureContract":
        words = re.sub(r"(?<!^)([A-Z])", r" \1", name).lower()
        return f"{words}, in {suite['service']}"
    return str(suite["service"] or name)


def _shortened(reason: str) -> str:
    """Return a reason without what is the same in every one."""
    said = re.sub(r"^\w+Broker (has )?", "", reason)
    return said.removeprefix("the plugin's tests give ")
