"""Tables for people: medians with their spread, and ratios of turns of one round."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from measurements.base import Figure, Figures, Measurement

from qcore.bench.writer import Block, Table, as_markdown, spread

#: contender -> its figures of each round, None for a round in which it failed.
Rounds = dict[str, list[Figures | None]]


def render(measurement: Measurement, rounds: Rounds, store: str) -> list[str]:
    """Return the lines of a table: figures down, contenders across would be too wide."""
    return as_markdown(_blocks(measurement, rounds, store))


def _blocks(measurement: Measurement, rounds: Rounds, store: str) -> Iterator[Block]:
    count = max(len(rows) for rows in rounds.values())
    yield f"## {measurement.name} on {store}"
    yield f"Median [lowest..highest] of {count} rounds."
    yield Table(
        ["contender", *(f"{f.name} ({f.unit})" for f in measurement.figures)],
        [
            [name, *(_cell(f, _values(rows, f.name)) for f in measurement.figures)]
            for name, rows in rounds.items()
        ],
    )
    compared = [figure.name for figure in measurement.figures if figure.compared]
    ratios = list(_ratios(measurement, rounds)) if compared else []
    if ratios:
        yield f"{next(iter(rounds))} divided by each other, turns of the same round:"
        yield Table(["", *compared], ratios)


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
    return spread(values, figure.digits)
