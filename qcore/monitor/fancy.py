"""A View in boxes and colours, by rich (the extra ``monitor``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..printable import printable
from ..status import Snapshot
from .fit import choose, shares
from .live import FOOTER, watch
from .look import View
from .plain import (
    HEADING,
    busy,
    empty,
    headline,
    paused_lines,
    queue_line,
    row,
    title,
    totals,
)

_COLOUR = {"idle": "green", "busy": "yellow", "following up": "cyan", "ending": "dim"}
# Lines of a cluster besides its workers: two of its frame, the totals, the heading.
_AROUND = 4
_RIGHT = {"#", "PID", "FOR", "MEMORY", "DONE"}


def _text(text: str, style: str = "", **options: Any) -> Text:
    """Return a text of rich's that is printable: rich lets escape sequences through."""
    return Text(printable(text), style, **options)


def watch_boxes(look: Callable[[], View], interval: float, out: TextIO) -> None:
    """Show one View after the other until q is typed."""
    console = Console(file=out)
    with Live(console=console, screen=True, auto_refresh=False) as live:

        def draw() -> None:
            height = console.size.height - 1  # the footer has one
            live.update(_page(boxes(look(), height)), refresh=True)

        watch(draw, interval)


def _page(body: RenderableType) -> RenderableType:
    """Return what fills the terminal: a body, cut off where it is longer, and a footer."""
    page = Layout()
    footer = Layout(_text(FOOTER, style="dim"), size=1)
    page.split_column(Layout(body), footer)
    return page


def boxes(view: View, height: int | None = None) -> RenderableType:
    """Return a View as something that rich can print, in ``height`` lines if it can be."""
    parts: list[RenderableType] = [_text(title(view), style="bold", no_wrap=True)]
    if view.problem:
        parts.append(Panel(_text(view.problem), title="problem", border_style="red"))
    else:
        parts.append(_text(queue_line(view), no_wrap=True))
        parts += [_text(line, "yellow", no_wrap=True) for line in paused_lines(view)]
        rows = [len(cluster.workers) for cluster in view.clusters]
        if height is not None:
            around = sum(_AROUND + bool(c.problem) for c in view.clusters)
            rows = shares(rows, height - len(parts) - around)
        parts += [
            _cluster(view, cluster, share)
            for cluster, share in zip(view.clusters, rows, strict=True)
        ] or [Panel(_text(empty(view)), border_style="yellow")]
    return Group(*parts)


def _cluster(view: View, cluster: Snapshot, share: int) -> RenderableType:
    told = totals(cluster, view.rates[cluster.cluster])
    summary = _text(told, no_wrap=True, overflow="ellipsis")
    shown, more = choose(cluster.workers, share)
    workers = Table(box=None, pad_edge=False, header_style="dim", expand=True)
    for name in HEADING:
        workers.add_column(
            name,
            justify="right" if name in _RIGHT else "left",
            ratio=1 if name == "TASK" else None,
            no_wrap=True,
            overflow="ellipsis",
        )
    for worker in shown:
        cells = [_text(cell) for cell in row(worker)]
        cells[2].stylize(_COLOUR.get(worker.state, "red"))
        workers.add_row(*cells)
    body: list[RenderableType] = [summary, workers]
    if cluster.problem:
        problem = _text(cluster.problem, "red", no_wrap=True, overflow="ellipsis")
        body.insert(0, problem)
    if more:
        body.append(_text(more, style="dim"))
    return Panel(
        Group(*body),
        title=_text(headline(cluster, view.at)),
        title_align="left",
        subtitle=f"{busy(cluster)} of {len(cluster.workers)} workers busy",
        subtitle_align="right",
        border_style="red" if cluster.problem else "green",
    )
