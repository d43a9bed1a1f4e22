"""qcore and its peers side by side: the same task, the same servers, in turns.

::

    python3 noxfile.py -s bench -- --peers qcore,django-q2 --store redis --rounds 3
    python3 noxfile.py -s bench -- --peers qcore,huey --store sqlite --tasks 5000

Every peer runs two worker processes in an environment of its own, with Django loaded
and its logging at WARNING. In each round all peers take a turn, in a new order. Rates
come from what the task itself writes: one fixed-width record with a single append.

- enqueue: calls one by one, from one process, per second;
- drain: the queue is filled while no worker runs; tasks per second from the first to
  the last record;
- stored: the same, until the workers have gone quiet, for peers that store results
  after the fact;
- CPU: seconds of the worker tree for a thousand tasks, from its start.

Absolute figures depend on the machine and on its other work; compare those of one run.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

# the servers of the tests, beside this folder
sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

from environment import make_environment  # noqa: E402
from measure import Figures, measure  # noqa: E402
from stores import STORES, open_store  # noqa: E402

PEERS = ("qcore", "django-q2", "huey")


def main() -> None:
    """Measure what the arguments name, and print a table or JSON."""
    options = _options()
    figures: dict[str, list[Figures]] = {peer: [] for peer in options.peers}
    with tempfile.TemporaryDirectory(prefix="qcore-bench-") as folder:
        Path(folder).chmod(0o755)  # for the user that PostgreSQL runs as
        pythons = {peer: make_environment(peer) for peer in options.peers}
        with open_store(options.store, Path(folder)) as store:
            for number in range(options.rounds):
                turn = list(options.peers)
                random.Random(number).shuffle(turn)
                for peer in turn:
                    found = measure(peer, pythons[peer], store, options.tasks)
                    figures[peer].append(found)
                    print(f"round {number + 1}: {peer}: {found}", file=sys.stderr)
    if options.json:
        print(json.dumps({p: [asdict(f) for f in fs] for p, fs in figures.items()}))
    else:
        _print_table(options.store, figures)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench", description=__doc__.partition("\n")[0]
    )
    parser.add_argument(
        "--peers", default="qcore,django-q2", help=f"of {', '.join(PEERS)}"
    )
    parser.add_argument(
        "--store", choices=STORES, default="sqlite", help="the broker's"
    )
    parser.add_argument("--tasks", type=int, default=3000, help="in each turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.peers = options.peers.split(",")
    if unknown := set(options.peers) - set(PEERS):
        parser.error(f"unknown peer {min(unknown)!r}; known: {', '.join(PEERS)}")
    return options


def _print_table(store: str, figures: dict[str, list[Figures]]) -> None:
    """Print medians with their range, and the ratio of the first peer to each."""
    names = ("enqueue", "drain", "stored", "cpu")
    first = next(iter(figures))
    print(f"\n{store}: median [lowest..highest] of {len(figures[first])} rounds")
    print(f"{'peer':<12}" + "".join(f"{name:>26}" for name in names))
    for peer, rows in figures.items():
        cells = [_cell([getattr(row, name) for row in rows]) for name in names]
        print(f"{peer:<12}" + "".join(f"{cell:>26}" for cell in cells))
    for peer in list(figures)[1:]:
        ratios = [
            _median([getattr(row, name) for row in figures[first]])
            / _median([getattr(row, name) for row in figures[peer]])
            for name in names
        ]
        print(f"{first} / {peer}:".ljust(28) + "  ".join(
            f"{name} {ratio:.2f}" for name, ratio in zip(names, ratios, strict=True)
        ))  # fmt: skip


def _median(values: list[float]) -> float:
    return statistics.median(values)


def _cell(values: list[float]) -> str:
    digits = 2 if max(values) < 100 else 0
    low, high = f"{min(values):,.{digits}f}", f"{max(values):,.{digits}f}"
    return f"{_median(values):,.{digits}f} [{low}..{high}]"


if __name__ == "__main__":
    main()
