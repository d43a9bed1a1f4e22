"""What the demo shows while it runs: drawn in place in a terminal, else line by line."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Self, TextIO

from ..monitor import plain
from ..monitor.look import View
from ..monitor.screen import height, width
from ..monitor.text import Paint, bar, clip, number, rate, table
from .kinds import Kind
from .watch import workers

_HIDE, _SHOW = "\x1b[?25l", "\x1b[?25h"  # the cursor
#: Seconds between two lines where nothing can be drawn in place.
_LINE_EVERY = 1.0


class Progress:
    """A progress bar and a view of the cluster."""

    def __init__(self, kinds: Sequence[Kind], out: TextIO) -> None:
        self._kinds = kinds
        self._out = out
        self._paint = Paint(out)
        self._drawn = 0  # lines of the last frame
        self._last_line = 0.0
        self._live = out.isatty()
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        if self._live:
            self._out.write(_HIDE)
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._erase()
            self._out.write(_SHOW)
        self._out.flush()

    def say(self, text: str) -> None:
        """Write a line that stays."""
        self._erase()
        self._out.write(f"{text}\n")
        self._out.flush()

    def show(self, done: Counter[str], view: View) -> None:
        """Show how far each kind is, and what the workers do."""
        if self._live:
            frame = self._frame(done, view)
            self._erase()
            self._out.write("".join(f"{line}\n" for line in frame))
            self._drawn = len(frame)
        elif time.monotonic() - self._last_line >= _LINE_EVERY:
            self._last_line = time.monotonic()
            self._out.write(f"{self._headline(done, view)}\n")
        self._out.flush()

    def _erase(self) -> None:
        if self._drawn:
            self._out.write(f"\x1b[{self._drawn}A\x1b[J")
            self._drawn = 0

    def _headline(self, done: Counter[str], view: View) -> str:
        whole = sum(kind.count for kind in self._kinds)
        elapsed = time.monotonic() - self._started
        part = done.total()
        return (
            f"{elapsed:5.1f} s  {bar(part, whole, 30)}  {number(part)} of"
            f" {number(whole)} tasks  {rate(sum(view.rates.values()))} tasks/s"
        )

    def _frame(self, done: Counter[str], view: View) -> list[str]:
        # One column less than there are: a full line would wrap in some terminals,
        # and what wraps is not erased.
        columns = width() - 1
        rows = [
            (kind.name, bar(done[kind.name], kind.count, 20), _share(kind, done))
            for kind in self._kinds
        ]
        rows += [
            (f"  {told.note}", bar(told.done, told.total, 20), "as its task tells")
            for worker in workers(view)
            if (told := worker.progress) is not None and told.total
        ]
        lines = [self._paint(clip(self._headline(done, view), columns), "bold")]
        lines += table(rows, right={2}, width=columns)
        for cluster in view.running:
            cells = [plain.HEADING, *(plain.row(worker) for worker in cluster.workers)]
            heading, *body = table(
                cells, right={0, 1, 4, 5, 6}, flexible=3, width=columns
            )
            lines += ["", self._paint(heading, "dim"), *body]
        # a line above the first row could not be erased
        return lines[: height() - 1]


def _share(kind: Kind, done: Counter[str]) -> str:
    return f"{number(done[kind.name])} of {number(kind.count)}"
