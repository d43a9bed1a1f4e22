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
