"""What verbs write: text, or JSON that never has anything else beside it."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any, TextIO


def add_json(parser: ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument(
        "--json", action="store_true", help="one JSON document on stdout"
    )


def write_lines(out: TextIO, lines: Sequence[str]) -> None:
    """Write lines of text."""
    out.write("".join(f"{line}\n" for line in lines))


def write_json(out: TextIO, document: dict[str, Any]) -> None:
    """Write a document; what JSON does not know, such as a path, goes as text."""
    out.write(json.dumps(document, indent=2, default=str) + "\n")
