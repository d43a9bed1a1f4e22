"""Writes what a bench has found, as text for a terminal or as Markdown.

Both benches write with it: ``qcore bench``, and the comparison with other queues in
tests/bench.
"""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

from ..monitor.text import NOTHING, table


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells; every row has as many as the heading."""

    heading: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Collection[int] = ()  # columns whose cells stand at the right
    flexible: int | None = None  # column that gives way in a narrow terminal


#: A sentence, a heading or a table.
Block = str | Table


def as_text(blocks: Iterable[Block], width: int) -> list[str]:
    """Return lines of at most ``width`` columns, with an empty one between blocks."""
    return _apart(list(_text(block, width)) for block in blocks)


def as_markdown(blocks: Iterable[Block]) -> list[str]:
    """Return lines of Markdown that read well as text, too."""
    return _apart(
        [block] if isinstance(block, str) else list(_pipes(block)) for block in blocks
    )


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Return a median with the lowest and the highest value: ``7.5 [7.0..9.1]``."""
    if not values:
        return NOTHING
    low, middle, high = (
        f"{value:,.{digits}f}"
        for value in (min(values), statistics.median(values), max(values))
    )
    return middle if low == high else f"{middle} [{low}..{high}]"


def _apart(blocks: Iterable[list[str]]) -> list[str]:
    lines: list[str] = []
    for block in blocks:
        lines += ["", *block] if lines else block
    return lines


def _text(block: Block, width: int) -> Iterable[str]:
    if isinstance(block, str):
        return wrap(block, width)
    rows = [block.heading, *block.rows]
    return table(rows, right=block.right, flexible=block.flexible, width=width)


def _pipes(block: Table) -> Iterator[str]:
    rows = [block.heading, *block.rows]
    widths = [max(len(row[n]) for row in rows) for n in range(len(block.heading))]
    columns = range(len(widths))
    for number, row in enumerate(rows):
        cells = [
            row[n].rjust(widths[n]) if n in block.right else row[n].ljust(widths[n])
            for n in columns
        ]
        yield f"| {' | '.join(cells)} |"
        if number == 0:
            rules = ("-" * (widths[n] + 1 + (n not in block.right)) for n in columns)
            ends = (":" if n in block.right else "" for n in columns)
            yield f"|{'|'.join(map(''.join, zip(rules, ends, strict=True)))}|"
