"""The demo from its first line to its last; whatever happens, nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from .. import health
from ..cli.exits import FAILURE, OK
from ..cli.output import write_json, write_lines
from ..cluster.subprocess import Child, ChildFailed, running, terminable
from ..errors import PluginMissing
from ..plugins.known import FIRST_BROKER, how_to_install

if TYPE_CHECKING:
    from .kinds import Kind
    from .progress import Progress
    from .report import Summary

_CLUSTER = [
    *(sys.executable, "-m", "qcore", "cluster"),
    *("--settings", "qcore.demo.settings"),
]
#: Seconds between two looks at the database.
_LOOK = 0.25
#: Seconds that the cluster has to say that it runs.
_START = 30.0


def run(options: Namespace, out: TextIO) -> int:
    """Run the demo and return its exit code.

    Args:
        options: ``tasks``, ``workers``, ``seconds`` (to give up after) and ``json``.
        out: where the summary goes; while it runs, progress goes there too, unless it
            is JSON.

    Raises:
        PluginMissing: the ORM broker is not installed.
        ChildFailed: the cluster could not start, or has ended too early.
    """
    broker, _ = FIRST_BROKER
    if find_spec(f"qcore_{broker}") is None:
        raise PluginMissing(
            f"the demo needs the broker {broker!r}, which is not installed."
            f" {how_to_install(broker)}"
        )
    started = time.monotonic()
    with terminable(), tempfile.TemporaryDirectory(prefix="qcore-demo-") as name:
        folder = Path(name)
        _set_up(folder, options.workers)
        try:
            with contextlib.ExitStack() as silent:
                # with --json, nothing but the document goes to stdout
                shown = out
                if options.json:
                    shown = silent.enter_context(Path(os.devnull).open("w"))
                summary = _work(options, folder, shown, started)
        finally:
            _let_go()
    if options.json:
        write_json(out, summary.as_dict())
    else:
        write_lines(out, summary.render())
    return OK if summary.ok else FAILURE


def _set_up(folder: Path, workers: int) -> None:
    """Start Django with the demo's settings and make the tables."""
    for name in ("Q_CLUSTER_NAME", "QCORE_PLUGINS"):
        os.environ.pop(name, None)  # those of a project; the demo has its own
    os.environ["QCORE_DEMO_DIR"] = str(folder)
    os.environ[health.VARIABLE] = str(folder)  # its file for probes goes with it
    os.environ["QCORE_DEMO_WORKERS"] = str(workers)
    os.environ["DJANGO_SETTINGS_MODULE"] = "qcore.demo.settings"
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


def _let_go() -> None:
    from django.db import connections

    from ..runtime import current

    current.close()
    connections.close_all()


def _work(options: Namespace, folder: Path, out: TextIO, started: float) -> Summary:
    from .kinds import kinds as make_kinds
    from .progress import Progress
    from .summary import summarise

    kinds = make_kinds(options.tasks, options.workers)
    whole = sum(kind.count for kind in kinds)
    with running(_CLUSTER, folder) as cluster, Progress(kinds, out) as progress:
        progress.say(
            f"qcore demo: {whole:,} tasks, {options.workers} workers, SQLite in {folder}"
        )
        _await_cluster(cluster)
        for kind in kinds:
            begun = time.monotonic()
            kind.send(kind)
        # the last kind are the fast tasks
        sending = options.tasks / (time.monotonic() - begun)
        deadline = started + options.seconds
        _await_end(kinds, cluster, progress, deadline)
    return summarise(
        kinds,
        sending=sending,
        seconds=time.monotonic() - started,
        workers=options.workers,
    )


def _await_cluster(cluster: Child) -> None:
    """Wait until the cluster says that it runs."""
    from ..status import snapshots

    def running() -> bool:
        cluster.check()
        return any(snapshot.state == "running" for snapshot in snapshots())

    if not _wait_for(running, time.monotonic() + _START):
        raise ChildFailed(
            f"the cluster has not started within {_START:g} s. The end of its log:\n"
            + cluster.tail()
        )


def _await_end(
    kinds: list[Kind], cluster: Child, progress: Progress, deadline: float
) -> None:
    """Show progress until all tasks have ended, or time is up."""
    from ..monitor.look import Watcher
    from .kinds import ended
    from .watch import Watch

    watcher = Watcher()
    watch = Watch()

    def all_ended() -> bool:
        cluster.check()
        done = ended(kinds)
        view = watcher.look_patiently()
        watch.look(view)
        progress.show(done, view)
        return all(done[kind.name] >= kind.count for kind in kinds)

    _wait_for(all_ended, deadline)


def _wait_for(condition: Callable[[], bool], deadline: float) -> bool:
    """Ask again and again; return whether it came true before ``deadline``."""
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOOK)
    return True
