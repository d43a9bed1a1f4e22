"""What verbs write: text, or JSON that never has anything else beside it.

Every verb writes through here, so that nothing that others have written acts on the
terminal: see ``printable``. JSON escapes it by itself.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any, TextIO

from ..monitor.text import COLOUR
from ..printable import printable, printable_lines


def add_json(parser: ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument(
        "--json", action="store_true", help="one JSON document on stdout"
    )


def write_lines(out: TextIO, lines: Sequence[str]) -> None:
    """Write lines of text, which may have the colours of ``monitor.text.Paint``."""
    out.write("".join(f"{_line(line)}\n" for line in lines))


def _line(text: str) -> str:
    if text.isprintable():
        return text
    # what stands at odd places is a colour
    parts = COLOUR.split(text)
    return "".join(p if n % 2 else printable(p) for n, p in enumerate(parts))


def complain(text: str) -> None:
    """Write to stderr what is wrong, or what has to be asked; it ends its lines itself."""
    sys.stderr.write(printable_lines(text))


def write_json(out: TextIO, document: dict[str, Any]) -> None:
    """Write a document; what JSON does not know, such as a path, goes as text."""
    out.write(json.dumps(document, indent=2, default=str) + "\n")


def iso(seconds: float | None) -> str | None:
    """Return a moment in seconds since the epoch as documents of records have it: ISO 8601, UTC."""
    if seconds is None:
        return None
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat()
