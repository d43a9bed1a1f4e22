r"""Text for terminals and logs, whoever has written it.

Names of tasks, texts of exceptions, and what clusters of other hosts say of themselves are
written by others. An escape sequence in them could move the cursor, change the title of a
window or hide a line; a carriage return could put a forged line in the place of a true one;
a bidirectional control could turn the order of what is read. All of them are shown as what
they are: ``\x1b``, ``\r``, ``\u202e``.
"""

from __future__ import annotations

import re

# C0, DEL and C1; the marks, embeddings, overrides and isolates of bidirectional text;
# separators of lines and paragraphs; halves of surrogate pairs, which no stream takes.
_CONTROLS = (
    r"\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
)
_UNSAFE = re.compile(f"[{_CONTROLS}]")
_UNSAFE_IN_LINES = re.compile(rf"(?![\n\t])[{_CONTROLS}]")


def printable(text: str) -> str:
    """Return a text as one line in which nothing acts on a terminal."""
    if text.isprintable():
        return text  # nearly always, and decided in C
    return _UNSAFE.sub(_escaped, text)


def printable_lines(text: str) -> str:
    """Return a text of several lines; line feeds and tabs stay."""
    if text.replace("\n", "").replace("\t", "").isprintable():
        return text  # nearly always, and in a tenth of the time of the pattern
    return _UNSAFE_IN_LINES.sub(_escaped, text)


def shorten(text: str, limit: int) -> str:
    """Return a text of at most about ``limit`` characters, cut in its middle."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n... {len(text) - limit:,} characters left out ...\n{text[-half:]}"


def first_line(text: str) -> str:
    """Return the first line of an error's text, for logs."""
    return shorten(text.partition("\n")[0], 500)


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
