"""Numbers with their units, columns that line up, and colours where they are wanted."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TextIO

from ..printable import printable

#: What stands for a value that is not there.
NOTHING = "-"

# A unit, and the next smaller one, in seconds.
_UNITS = (
    (86_400, "d", 3600, "h"),
    (3600, "h", 60, "min"),
    (60, "min", 1, "s"),
)
_COLOURS = {"red": 31, "green": 32, "yellow": 33, "cyan": 36, "bold": 1, "dim": 2}
#: What ``Paint`` writes before and after a text.
COLOUR = re.compile(rf"(\x1b\[(?:0|{'|'.join(map(str, _COLOURS.values()))})m)")


def seconds(value: float | None) -> str:
    """Return a duration in the two largest of its units: ``2 h 14 min``."""
    if value is None:
        return NOTHING
    if 0 < value < 0.000_05:
        return "<0.1 ms"
    if value < 1:
        places = 1 if value < 0.01 else 0
        return f"{max(value, 0) * 1000:.{places}f} ms"
    if value < 60:
        return f"{value:.1f} s"
    whole = int(value)
    for large, unit, small, part in _UNITS:
        if whole >= large:
            return f"{whole // large} {unit} {whole % large // small} {part}"
    raise AssertionError("from 60 s on, some unit fits")


def size(kilobytes: int | None) -> str:
    """Return an amount of memory, given in kB of 1024 bytes: ``47.1 MiB``."""
    if kilobytes is None:
        return NOTHING
    if kilobytes < 1024:
        return f"{kilobytes} KiB"
    if kilobytes < 1024**2:
        return f"{kilobytes / 1024:.1f} MiB"
    return f"{kilobytes / 1024**2:.2f} GiB"


def number(value: int | None) -> str:
    """Return a count with its thousands apart."""
    return NOTHING if value is None else f"{value:,}"


def rate(per_second: float | None) -> str:
    """Return tasks per second, with a decimal where it tells something."""
    if per_second is None:
        return NOTHING
    return f"{per_second:,.1f}" if per_second < 100 else f"{per_second:,.0f}"


def plural(count: int, noun: str) -> str:
    """Return ``1 worker`` or ``2 workers``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def paused(pause: Mapping[str, Any], now: float) -> str:
    """Return who has paused a queue, when and why: ``paused by ann 5 min ago (why)``.

    Args:
        pause: as ``--json`` writes it.
        now: seconds since the epoch.
    """
    by = f" by {pause['by']}" if pause["by"] else ""
    ago = seconds(max(0.0, now - pause["at"]))
    why = f" ({pause['reason']})" if pause["reason"] else ""
    return f"paused{by} {ago} ago{why}"


def clip(text: str, width: int) -> str:
    """Cut a text to ``width`` columns; three dots tell that it was longer."""
    text = printable(text)
    if len(text) <= width:
        return text
    return f"{text[: width - 3]}..." if width > 3 else text[: max(width, 0)]


def bar(part: float, whole: float, width: int) -> str:
    """Return a bar of ``width`` columns, filled as far as ``part`` goes."""
    filled = round(width * min(max(part / whole, 0), 1)) if whole else 0
    return f"[{'#' * filled}{'.' * (width - filled)}]"


def facts(pairs: Sequence[tuple[str, str]], indent: str = "  ") -> list[str]:
    """Return one line for each label and its value, the values below each other."""
    pairs = [(printable(label), printable(value)) for label, value in pairs]
    wide = max((len(label) for label, _ in pairs), default=0)
    return [f"{indent}{label:<{wide}}  {value}".rstrip() for label, value in pairs]


def table(
    rows: Sequence[Sequence[str]],
    *,
    right: Collection[int] = (),
    flexible: int | None = None,
    width: int | None = None,
    indent: str = "  ",
) -> list[str]:
    """Return rows as lines of aligned columns; the first row is the heading.

    Args:
        rows: cells; every row has as many as the first.
        right: the columns whose cells stand at the right, as numbers do.
        flexible: the column that gives way where the lines are too long.
        width: columns of the terminal; None sets no limit.
        indent: what every line begins with.
    """
    if not rows:
        return []
    rows = [[printable(cell) for cell in row] for row in rows]
    wide = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    if flexible is not None and width is not None:
        others = sum(wide) - wide[flexible] + 2 * (len(wide) - 1) + len(indent)
        wide[flexible] = min(wide[flexible], max(width - others, 4))
    lines = []
    for row in rows:
        cells = [
            f"{clip(cell, wide[i]):>{wide[i]}}"
            if i in right
            else f"{clip(cell, wide[i]):<{wide[i]}}"
            for i, cell in enumerate(row)
        ]
        line = (indent + "  ".join(cells)).rstrip()
        lines.append(line if width is None else clip(line, width))
    return lines


class Paint:
    """Colours for one stream; none for files and pipes, nor where NO_COLOR is set."""

    def __init__(self, out: TextIO) -> None:
        self.on = (
            out.isatty()
            and not os.environ.get("NO_COLOR")
            and os.environ.get("TERM") != "dumb"
        )

    def __call__(self, text: str, colour: str) -> str:
        """Return the text in a colour, or none; printable."""
        text = printable(text)
        if not self.on:
            return text
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"
