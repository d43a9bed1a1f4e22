"""The errors, from the tree in the docstring of their module."""

from __future__ import annotations

import inspect
import re
import textwrap

from qcore import errors


def tree() -> str:
    """Return the tree as a block of text."""
    doc = inspect.getdoc(errors) or ""
    found = re.search(r"::\n\n((?:    .*\n|\n)+)", doc)
    if found is None:
        raise SystemExit("the docstring of qcore.errors has no tree any more")
    return f"```text\n{textwrap.dedent(found[1]).strip()}\n```"
