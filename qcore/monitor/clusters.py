"""The clusters on the screen: in boxes where rich is installed, else in plain text."""

from __future__ import annotations

import importlib.util
from typing import TextIO

from .live import watch_lines
from .look import View, Watcher
from .plain import render
from .screen import height
from .text import Paint


def watch_clusters(interval: float, out: TextIO) -> None:
    """Watch the clusters, one View after the other, until q is typed."""
    watcher = Watcher()
    if importlib.util.find_spec("rich"):
        from .fancy import watch_boxes

        watch_boxes(watcher.look_patiently, interval, out)
        return

    def lines(columns: int, paint: Paint) -> list[str]:
        view: View = watcher.look_patiently()
        return render(view, columns, paint, height() - 2)  # the footer has two

    watch_lines(lines, interval, out)
