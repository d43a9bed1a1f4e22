"""Show the memory of every process of the clusters (1 KiB is 1024 bytes).

RSS is what a process has in memory; pages that processes share count in each.
PSS divides shared pages among those who share them, so its total is the truth.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TextIO

from .exits import OK, UNHEALTHY
from .monitor import add_watching
from .output import add_json, write_json, write_lines

HELP = "show the memory of every process"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of this verb."""
    add_json(parser)
    add_watching(parser)


def run(options: Namespace, out: TextIO) -> int:
    """Show the memory; 3 says that no cluster is running."""
    from ..monitor import memory
    from ..monitor.screen import is_terminal, width
    from ..monitor.text import Paint
    from ..status import running

    if is_terminal(out) and not (options.run_once or options.json):
        from ..monitor.live import watch_lines

        watch_lines(memory.look, options.interval, out)
        return OK
    clusters = running()
    if options.json:
        write_json(out, memory.as_dict(clusters))
    else:
        write_lines(out, memory.render(clusters, width(), Paint(out)))
    return OK if clusters else UNHEALTHY
