"""One frame after the other, until somebody types q or Ctrl-C."""

from __future__ import annotations

import contextlib
import importlib.util
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TextIO

from ..cluster.connections import keep_no_statements
from .look import View, Watcher
from .plain import render
from .screen import Screen, height, keys, width
from .text import Paint

FOOTER = "q quits"


def watch(draw: Callable[[], None], interval: float) -> None:
    """Draw every ``interval`` seconds until q is typed; Ctrl-C and SIGTERM count, too."""
    keep_no_statements()
    with _terminable(), keys(sys.stdin) as key, contextlib.suppress(KeyboardInterrupt):
        while True:
            draw()
            if "q" in key(interval).lower():
                return


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Turn SIGTERM into Ctrl-C, so that the terminal is given back in order."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def watch_lines(
    lines: Callable[[int, Paint], list[str]], interval: float, out: TextIO
) -> None:
    """Watch what a function draws as lines for a width, in the alternate screen."""
    paint = Paint(out)
    with Screen(out) as screen:

        def draw() -> None:
            columns = width()
            screen.show(lines(columns, paint), ["", paint(FOOTER, "dim")])

        watch(draw, interval)


def watch_clusters(interval: float, out: TextIO) -> None:
    """Watch the clusters; in boxes where rich is installed, else in plain text."""
    watcher = Watcher()
    if importlib.util.find_spec("rich"):
        from .fancy import watch_boxes

        watch_boxes(watcher.look_patiently, interval, out)
        return

    def lines(columns: int, paint: Paint) -> list[str]:
        view: View = watcher.look_patiently()
        return render(view, columns, paint, height() - 2)  # the footer has two

    watch_lines(lines, interval, out)
