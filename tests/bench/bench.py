"""qcore and its peers side by side: the same tasks, the same servers, in turns.

::

    python3 noxfile.py -s bench -- --store redis --peers qcore,huey,saq --rounds 3
    python3 noxfile.py -s bench -- --store postgres --measure drain,batch,latency
    python3 noxfile.py -s bench -- --store sqlite --peers qcore,huey --tasks 5000
    python3 noxfile.py -s bench -- --store postgres --measure waiting,results --depth 1000000
    python3 noxfile.py -s bench -- --store redis --measure killed,restart --patience 130
    python3 noxfile.py -s bench -- --store redis --peers qcore --measure within,outbox,cancel
    python3 noxfile.py -s bench -- --limits
    python3 noxfile.py -s bench -- --stages
    python3 noxfile.py -s bench -- --instructions
    python3 noxfile.py -s bench -- --features

Every peer runs its worker processes in an environment of its own, with Django loaded
and its logging at WARNING, against servers that this run starts and ends. In each
round every contender takes a turn, in a new order; ratios are those of turns in one
round. Rates, losses, doubles and latencies come from what the tasks write: one
fixed-width record each, with a single append.

How to read it:

- enqueue: calls one by one, from one process; its CPU is the producer's;
- drain: the queue is filled while no worker runs; from the first record to the last;
- stored: the same, until the workers use less than a tenth of a core for 0.4 s: it is
  less than drain where results are saved after the fact by another process;
- cpu, server_cpu: user and system time of the worker tree and of the servers, from the
  first record until all is quiet;
- within, commit: from the end of the commit of the sender's transaction, since no task
  may be seen before it; call: from the call, with the commit and its fsync;
- memory: PSS, in which a page that processes share counts once;
- lost, twice: tasks that did not run, or ran more than once;
- idle: CPU time by the scheduler's clock, which counts nanoseconds;
- foreign: cores that other work of this machine used meanwhile. Compare rows where it
  is alike; CPU for each task is far less sensitive to it than rates. Where there is
  much of it, a peer with more processes gets more of the machine.

Results are on for everybody, in the peer's default place: qcore's and django-q2's in
the database, PostgreSQL where the queue is in Redis. A contender is a peer, or
`peer:variant` with other settings than its documentation's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

# the servers of the tests, beside this folder
sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

import features  # noqa: E402
import instructions  # noqa: E402
import limits  # noqa: E402
import stages  # noqa: E402
from environment import make_environment  # noqa: E402
from machine import wait_calm  # noqa: E402
from measurements import MEASUREMENTS, Measurement  # noqa: E402
from options import plan_of, read_options  # noqa: E402
from run import PeerFailed, Run  # noqa: E402
from stores import open_store  # noqa: E402
from table import Rounds, render  # noqa: E402

if TYPE_CHECKING:
    from contenders import Contender


def main() -> None:
    """Measure what the arguments name, and print tables or JSON."""
    options = read_options(__doc__ or "")
    # so that what was started is ended then, too
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    if options.stages:
        print("\n".join(stages.render(options.rounds)))
        return
    if options.instructions or options.features:
        try:
            shown = features if options.features else instructions
            print("\n".join(shown.render()))
        except LookupError as error:
            sys.exit(f"bench: {error}")
        return
    peers = {contender.peer for contender in options.peers}
    own = {"qcore": Path(sys.executable).parent} if options.here else {}
    programs = {peer: own.get(peer) or _programs(peer) for peer in peers}
    if options.limits:
        print("\n".join(limits.render(options.rounds)))
        return
    able = {c: place for c in options.peers if (place := programs[c.peer])}
    found = {
        name: _measure(MEASUREMENTS[name], able, options) for name in options.measure
    }
    if options.json:
        print(json.dumps(_document(found, options)))
        return
    for name, rounds in found.items():
        print("\n".join(["", *render(MEASUREMENTS[name], rounds, options.store)]))


def _document(found: dict[str, Rounds], options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of every turn, in the order of the rounds."""
    words = {k: v for k, v in vars(options).items() if k not in ("peers", "json")}
    peers = [contender.name for contender in options.peers]
    machine = {"processors": os.cpu_count(), "python": platform.python_version()}
    return {**machine, "options": words, "peers": peers, "measurements": found}


def _measure(
    measurement: Measurement, able: dict[Contender, Path], options: argparse.Namespace
) -> Rounds:
    """Run all rounds of a measurement, on servers of its own."""
    with tempfile.TemporaryDirectory(prefix="qcore-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # for the user that PostgreSQL runs as
        words = {"appendonly": measurement.appendonly, "fsync": options.fsync}
        with open_store(options.store, folder, **words) as store:
            runs = [
                Run(contender, place, store, number=number)
                for number, (contender, place) in enumerate(able.items())
                if measurement.fits(contender)
            ]
            try:
                return _rounds(measurement, runs, options)
            finally:
                for run in runs:
                    run.stop(grace=0.5)


def _programs(peer: str) -> Path | None:
    try:
        return make_environment(peer)
    except (LookupError, subprocess.CalledProcessError) as error:
        print(f"{peer} takes no part: {error}", file=sys.stderr)
        return None


def _rounds(
    measurement: Measurement, runs: list[Run], options: argparse.Namespace
) -> Rounds:
    """Let everybody take a turn in each round, in a new order."""
    plan = plan_of(options)
    rounds: Rounds = {run.contender.name: [] for run in runs}
    for number in range(options.rounds):
        order = list(runs)
        random.Random(number).shuffle(order)
        for run in order:
            wait_calm(options.calm)
            name = run.contender.name
            try:
                figures = measurement.run(run, plan)
            except PeerFailed as error:
                rounds[name].append(None)
                print(f"round {number + 1}: {error}", file=sys.stderr)
            else:
                rounds[name].append(figures)
                line = " ".join(f"{k}={v}" for k, v in figures.items())
                print(
                    f"{measurement.name} {number + 1}: {name}: {line}",
                    file=sys.stderr,
                    flush=True,
                )
            finally:
                run.stop()
    return rounds


if __name__ == "__main__":
    main()
