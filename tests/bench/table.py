"""Tables for people: medians with their spread, and ratios of turns of one round."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from measurements.base import Figure, Figures, Measurement

#: contender -> its figures of each round, None for a round in which it failed.
Rounds = dict[str, list[Figures | None]]


def render(measurement: Measurement, rounds: Rounds, store: str) -> Iterator[str]:
    """Yield the lines of a table: figures down, contenders across would be too wide."""
    count = max(len(rows) for rows in rounds.values())
    yield f"## {measurement.name} on {store}"
    yield ""
    yield f"Median [lowest..highest] of {count} rounds."
    yield ""
    yield from _markdown(
        ["contender", *(f"{f.name} ({f.unit})" for f in measurement.figures)],
        [
            [name, *(_cell(f, _values(rows, f.name)) for f in measurement.figures)]
            for name, rows in rounds.items()
        ],
    )
    compared = [figure.name for figure in measurement.figures if figure.compared]
    ratios = list(_ratios(measurement, rounds)) if compared else []
    if ratios:
        yield ""
        yield f"{next(iter(rounds))} divided by each other, turns of the same round:"
        yield ""
        yield from _markdown(["", *compared], ratios)


def _ratios(measurement: Measurement, rounds: Rounds) -> Iterator[list[str]]:
    """Yield a row for each contender but the first: the first divided by it."""
    first, *others = rounds
    for other in others:
        cells = [f"{first} / {other}"]
        for figure in measurement.figures:
            if figure.compared:
                pairs = zip(rounds[first], rounds[other], strict=False)
                found = [ratio(a, b, figure.name) for a, b in pairs]
                cells.append(_cell(_RATIO, [r for r in found if r is not None]))
        yield cells


_RATIO = Figure("ratio", "", 2)


def ratio(one: Figures | None, other: Figures | None, name: str) -> float | None:
    """Return one figure divided by another; None where one is not there."""
    over, under = (one or {}).get(name), (other or {}).get(name)
    if over is None or not under:
        return None
    return over / under


def _values(rows: Sequence[Figures | None], name: str) -> list[float]:
    found = [(row or {}).get(name) for row in rows]
    return [value for value in found if value is not None]


def _cell(figure: Figure, values: list[float]) -> str:
    if not values:
        return "-"
    low, middle, high = (
        f"{value:,.{figure.digits}f}"
        for value in (min(values), statistics.median(values), max(values))
    )
    return middle if low == high else f"{middle} [{low}..{high}]"


def _markdown(heading: list[str], rows: list[list[str]]) -> Iterator[str]:
    """Yield a table that reads well as text, too."""
    table = [heading, *rows]
    widths = [max(len(row[n]) for row in table) for n in range(len(heading))]
    for number, row in enumerate(table):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield f"| {' | '.join(cells)} |"
        if number == 0:
            yield f"|{'|'.join('-' * (width + 2) for width in widths)}|"
