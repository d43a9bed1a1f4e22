"""Draws lines over time as SVG, by hand: a soak needs no library for that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

#: Moments and values of one line: seconds since the beginning, and anything.
Line = Sequence[tuple[float, float]]

WIDTH, HEIGHT, LEFT, TOP, GAP = 900, 220, 60, 30, 70
COLOURS = ("#1f5fa8", "#c0392b", "#2e8b57", "#8e44ad", "#d68910", "#117a8b")


def draw(
    title: str, panels: Mapping[str, Mapping[str, Line]], marks: Mapping[float, str]
) -> str:
    """Return a picture with one panel under the other.

    Args:
        title: of all of it.
        panels: title of a panel -> name of a line -> its points.
        marks: moments to be marked, and what happened then.
    """
    end = max(
        (x for p in panels.values() for line in p.values() for x, _ in line), default=1
    )
    total = TOP + len(panels) * (HEIGHT + GAP)
    text = [
        (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH + LEFT + 20}"'
        f' height="{total}" font-family="sans-serif" font-size="12">'),
        f'<text x="{LEFT}" y="18" font-weight="bold">{escape(title)}</text>',
    ]  # fmt: skip
    for number, (name, lines) in enumerate(panels.items()):
        text += _panel(name, lines, marks, end, TOP + number * (HEIGHT + GAP) + 20)
    return "\n".join([*text, "</svg>"])


def _panel(
    name: str, lines: Mapping[str, Line], marks: Mapping[float, str], end: float, y: int
) -> list[str]:
    most = max((value for line in lines.values() for _, value in line), default=1) or 1
    text = [
        f'<text x="{LEFT}" y="{y - 6}">{escape(name)}</text>',
        (
            f'<rect x="{LEFT}" y="{y}" width="{WIDTH}" height="{HEIGHT}" fill="none"'
            ' stroke="#999"/>'
        ),
    ]
    text += [
        f'<text x="{LEFT - 6}" y="{y + HEIGHT * (1 - part) + 4:.0f}"'
        f' text-anchor="end">{most * part:,.0f}</text>'
        for part in (0, 0.5, 1)
    ]
    for at, what in marks.items():
        x = LEFT + WIDTH * at / end
        place = f'x1="{x:.1f}" x2="{x:.1f}" y1="{y}" y2="{y + HEIGHT}"'
        text += [f'<line {place} stroke="#ddd"><title>{escape(what)}</title></line>']
    for number, (label, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(
            f"{LEFT + WIDTH * x / end:.1f},{y + HEIGHT * (1 - value / most):.1f}"
            for x, value in line
        )
        text += [
            f'<polyline points="{points}" fill="none" stroke="{colour}"/>',
            (
                f'<text x="{LEFT + number * 140}" y="{y + HEIGHT + 16}"'
                f' fill="{colour}">{escape(label)}</text>'
            ),
        ]
    return text
