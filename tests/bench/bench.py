"""qcore and its peers side by side: the same tasks, the same servers, in turns.

::

    python3 noxfile.py -s bench -- --store redis --peers qcore,huey,saq --rounds 3
    python3 noxfile.py -s bench -- --store postgres --measure drain,batch,latency
    python3 noxfile.py -s bench -- --store sqlite --peers qcore,huey --tasks 5000

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
- memory: PSS, in which a page that processes share counts once;
- lost, twice: tasks that did not run, or ran more than once;
- foreign: cores that other work of this machine used meanwhile. Compare rows where it
  is alike; CPU for each task is far less sensitive to it than rates.

Results are on for everybody, in the peer's default place: qcore's and django-q2's in
the database, PostgreSQL where the queue is in Redis. A contender is a peer, or
`peer:variant` with other settings than its documentation's.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

# the servers of the tests, beside this folder
sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

from environment import make_environment  # noqa: E402
from machine import wait_calm  # noqa: E402
from measurements import MEASUREMENTS, Measurement, Plan  # noqa: E402
from options import read_options  # noqa: E402
from run import PeerFailed, Run  # noqa: E402
from stores import Store, open_store  # noqa: E402
from table import Rounds, render  # noqa: E402

if TYPE_CHECKING:
    from contenders import Contender


def main() -> None:
    """Measure what the arguments name, and print tables or JSON."""
    options = read_options(__doc__ or "")
    # so that what was started is ended then, too
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    programs = {peer: _programs(peer) for peer in {c.peer for c in options.peers}}
    contenders = [c for c in options.peers if programs[c.peer]]
    found: dict[str, Rounds] = {}
    with tempfile.TemporaryDirectory(prefix="qcore-bench-") as folder:
        Path(folder).chmod(0o755)  # for the user that PostgreSQL runs as
        with open_store(options.store, Path(folder)) as store:
            runs = _runs(contenders, programs, store)
            try:
                for name in options.measure:
                    rounds = _rounds(MEASUREMENTS[name], runs, options)
                    found[name] = rounds
            finally:
                for run in runs:
                    run.stop(grace=0.5)
    if options.json:
        print(json.dumps({"store": options.store, "measurements": found}))
        return
    for name, rounds in found.items():
        print("\n".join(["", *render(MEASUREMENTS[name], rounds, options.store)]))


def _programs(peer: str) -> Path | None:
    try:
        return make_environment(peer)
    except (LookupError, subprocess.CalledProcessError) as error:
        print(f"{peer} takes no part: {error}", file=sys.stderr)
        return None


def _runs(
    contenders: list[Contender], programs: dict[str, Path | None], store: Store
) -> list[Run]:
    return [
        Run(contender, place, store, number=number)
        for number, contender in enumerate(contenders)
        if (place := programs[contender.peer])
    ]


def _rounds(
    measurement: Measurement, runs: list[Run], options: argparse.Namespace
) -> Rounds:
    """Let everybody take a turn in each round, in a new order."""
    plan = Plan(options.tasks, options.seconds, options.workers, options.latencies)
    able = [run for run in runs if measurement.fits(run.contender)]
    rounds: Rounds = {run.contender.name: [] for run in able}
    for number in range(options.rounds):
        order = list(able)
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
