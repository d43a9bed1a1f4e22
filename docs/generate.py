"""Write the generated parts of the manual; with ``--check``, say which are out of date.

::

    python docs/generate.py
    python docs/generate.py --check

A part stands between two comments, in pages that are otherwise written by hand::

    <!-- generated: settings -->
    <!-- end -->

It is committed, so that the manual can be read in the repository as it is. qcore must
be installed, and what its plugins need.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from parts import (
    brokers,
    captures,
    certificates,
    checks,
    commands,
    configuration,
    contract,
    errors,
    faults,
    hooks,
    interface,
    lifecycle,
    options,
    plugins,
    repository,
    schedules,
    shapes,
)

HERE = Path(__file__).resolve().parent

PARTS: dict[str, Callable[[], str]] = {
    "brokers": brokers.table,
    "broker-methods": brokers.methods,
    "broker-tools": brokers.helpers,
    "capture-demo": captures.demo,
    "capture-doctor": captures.doctor,
    "capture-info": captures.info,
    "capture-monitor": captures.monitor,
    "certificates": certificates.table,
    "checks": checks.table,
    "commands": commands.verbs,
    "contract": contract.sentences,
    "contract-options": contract.options,
    "contract-own": contract.own_settings,
    "errors": errors.tree,
    "faults": faults.proved,
    "faults-summary": faults.summary,
    "features": certificates.features,
    "hooks": hooks.reference,
    "job-states": lifecycle.table,
    "job-transitions": lifecycle.diagram,
    "kinds": hooks.kinds,
    "map": repository.top,
    "map-core": repository.core,
    "map-docs": repository.manual,
    "plugins": plugins.table,
    "plugins-index": plugins.index,
    "schedule-types": schedules.types,
    "serializer-types": shapes.types,
    "settings": configuration.reference,
    "settings-index": configuration.index,
    "snapshot": shapes.snapshot,
    "task-options": options.table,
    "schedules-in-code": interface.in_code,
    "task-functions": interface.declaring,
    "tasks": interface.tasks,
    "testing": interface.testing,
}

REGION = re.compile(
    r"(?P<begin><!-- generated: (?P<name>[\w-]+) -->\n).*?(?P<end><!-- end -->)",
    re.DOTALL,
)


def pages() -> list[Path]:
    """Return the pages of the manual, the README and that of the folder of plugins."""
    manual = (page for page in HERE.rglob("*.md") if "_build" not in page.parts)
    readmes = (HERE.parent / "README.md", HERE.parent / "plugins" / "README.md")
    return [*sorted(manual), *readmes]


def fill(text: str) -> str:
    """Return a page with its generated parts written anew.

    Raises:
        SystemExit: it asks for a part that does not exist.
    """

    def one(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in PARTS:
            raise SystemExit(
                f"there is no generated part {name!r}; there are {', '.join(PARTS)}"
            )
        return f"{match['begin']}\n{PARTS[name]().strip()}\n\n{match['end']}"

    return REGION.sub(one, text)


def main(words: list[str]) -> int:
    """Write or check all pages and return the exit code."""
    stale = []
    for page in pages():
        before = page.read_text()
        after = fill(before)
        if after != before:
            stale.append(str(page.relative_to(HERE.parent)))
            if "--check" not in words:
                page.write_text(after)
    if not stale:
        return 0
    if "--check" not in words:
        sys.stdout.write(f"written: {', '.join(stale)}\n")
        return 0
    sys.stdout.write(f"out of date: {', '.join(stale)}. Run: python docs/generate.py\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
