"""One frame after the other, until somebody types q or Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TextIO

from ..cluster.connections import keep_no_statements
from .screen import Screen, keys, width
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
