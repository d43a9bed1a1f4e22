"""Run a cluster while you develop; a change of a file starts the cluster again.

Django's own reloader watches the files, as it does for runserver. The cluster
is a process beside it: it stops in order, within the seconds of --grace, before
it starts again with the new code. A cluster that cannot start waits for the
next change.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import time
import traceback
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ..engine.system.process import die_with_parent
from ..errors import QcoreError
from .exits import OK
from .output import complain
from .project import set_up, told

if TYPE_CHECKING:
    from django.utils.autoreload import BaseReloader

HELP = "run a cluster, and start it again when the code changes"

#: Seconds that a running task has by default when the code changes.
_GRACE = 5.0
#: Seconds that a cluster has, beyond its grace, before it is told to stop at once.
_MARGIN = 2.0
#: Seconds between two looks at a process that ends.
_LOOK = 0.05


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument(
        "-n",
        "--name",
        metavar="CLUSTER",
        help="the queue to work on; see qcore cluster",
    )
    parser.add_argument(
        "--grace",
        type=_seconds,
        default=_GRACE,
        metavar="SECONDS",
        help="that running tasks have when the code changes (default: 5)",
    )
    parser.add_argument(
        "--settings",
        metavar="MODULE",
        help="Django's settings; default: as for every verb",
    )


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 3600:
        raise ArgumentTypeError(f"{text!r} is not from 0 to 3600 seconds")
    return value


def run(options: Namespace, out: TextIO) -> int:
    """Run until Ctrl-C or SIGTERM."""
    from django.utils import autoreload

    watcher = _Watcher(options)
    autoreload.autoreload_started.connect(watcher.begin)
    # The first process only starts the second one again and again. Both return at Ctrl-C,
    # of which the terminal has told the cluster, too.
    is_first = os.environ.get(autoreload.DJANGO_AUTORELOAD_ENV) != "true"
    if (
        is_first
        and hasattr(os, "waitid")
        and sys.stdin is not None
        and sys.stdin.isatty()
    ):
        wait = partial(_let_it_end, options.grace + 3 * _MARGIN)
        signal.signal(signal.SIGINT, lambda *_: wait())
    autoreload.run_with_reloader(watcher.serve)
    watcher.stop(told=True)
    return OK


def _let_it_end(seconds: float) -> None:
    """Wait at Ctrl-C until the second process has ended, and then end, too.

    Django kills that process a quarter of a second after Ctrl-C. The cluster would hear of
    the death of its parent, and take it for the second signal, which means at once.

    Args:
        seconds: to wait at most; a second Ctrl-C ends the wait.

    Raises:
        KeyboardInterrupt: always.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    end = time.monotonic() + seconds
    ended = os.WEXITED | os.WNOHANG | os.WNOWAIT  # Django collects its exit code
    with contextlib.suppress(ChildProcessError):  # there is none
        while time.monotonic() < end and os.waitid(os.P_ALL, 0, ended) is None:
            time.sleep(_LOOK)
    raise KeyboardInterrupt


class _Watcher:
    """The process that watches files, with the cluster beside it."""

    def __init__(self, options: Namespace) -> None:
        self._options = options
        self._cluster: subprocess.Popen[bytes] | None = None
        self._reloader: BaseReloader | None = None
        self._loaded = 0.0  # when the project was loaded, seconds since the epoch
        self._broken: set[Path] = set()  # files that could not be imported

    def begin(self, sender: BaseReloader, **_: Any) -> None:
        """Keep the reloader; Django calls this, in the main thread, when it begins to watch.

        A file that was mended before that would never be seen to change.
        """
        from django.utils.autoreload import trigger_reload

        self._reloader = sender
        self._watch_broken()
        for path in self._broken:
            if path.is_file() and path.stat().st_mtime > self._loaded:
                trigger_reload(str(path))

    def serve(self) -> None:
        """Load the project, so that its files are watched, and run a cluster beside.

        Django calls this in a thread, beside the one that watches.
        """
        options = self._options
        self._loaded = time.time()
        try:
            set_up("dev", options.settings)
            # what Django does not import by itself; a cluster will say what is wrong there
            errors = _load_tasks()
        except Exception as error:  # noqa: BLE001 - it is code that is being written
            self._note([error])
            text = told(error)[0] if isinstance(error, QcoreError) else _trace(error)
            complain(f"{text.rstrip()}\nWaiting for a change.\n")
            return
        self._note(errors)
        words = ["--settings", options.settings] if options.settings else []
        words += ["--name", options.name] if options.name else []
        atexit.register(self.stop)
        self._cluster = subprocess.Popen(
            [sys.executable, "-m", "qcore", "cluster", *words],
            # a watcher that is killed takes its cluster with it
            preexec_fn=partial(die_with_parent, os.getpid(), signal.SIGTERM),  # noqa: PLW1509
        )
        if code := self._cluster.wait():
            complain(
                f"The cluster ended with exit code {code}. Waiting for a change.\n"
            )

    def stop(self, *, told: bool = False) -> None:
        """Stop the cluster in order; after the grace, at once.

        Args:
            told: the cluster knows already that it has to stop.
        """
        cluster = self._cluster
        if cluster is None:
            return
        if not told and cluster.poll() is None:
            cluster.send_signal(signal.SIGTERM)
        for pause in (self._options.grace, _MARGIN, _MARGIN):
            try:
                cluster.wait(pause)
            except subprocess.TimeoutExpired:
                cluster.send_signal(signal.SIGTERM)  # the second one means at once
            else:
                return
        cluster.kill()
        cluster.wait()

    def _note(self, errors: Iterable[BaseException]) -> None:
        """Watch the files of errors, too: Django watches what it has imported."""
        for error in errors:
            self._broken.update(_files_of(error))
        self._watch_broken()

    def _watch_broken(self) -> None:
        if self._reloader is not None:
            # another set, for the other thread may just go through this one
            self._reloader.extra_files = self._reloader.extra_files | self._broken


def _load_tasks() -> list[BaseException]:
    from ..cluster.preload import preload

    return preload()


def _files_of(error: BaseException | None) -> list[Path]:
    """Return the files that an error and its causes have gone through."""
    found = []
    while error is not None:
        if isinstance(error, SyntaxError) and error.filename:
            found.append(Path(error.filename))
        trace = traceback.extract_tb(error.__traceback__)
        found += [Path(frame.filename) for frame in trace]
        error = error.__cause__ or error.__context__
    return [path.resolve() for path in found if path.is_file()]


def _trace(error: Exception) -> str:
    return "".join(traceback.format_exception(error))
