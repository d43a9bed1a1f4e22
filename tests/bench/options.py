"""The command line of the comparison."""

from __future__ import annotations

import argparse

from contenders import PEERS, load, parse
from measurements import MEASUREMENTS, Plan
from stores import STORES


def read_options(description: str) -> argparse.Namespace:
    """Return what was typed, checked: ``peers`` as contenders, ``measure`` as names."""
    parser = argparse.ArgumentParser(
        prog="bench",
        description=description,
        epilog=_epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--store", choices=STORES, default="sqlite", help="where the queue is")
    add(
        "--peers",
        default="all",
        help="comma-separated contenders; the first is compared",
    )
    add("--measure", default="drain", help="comma-separated; see below, or `all`")
    add("--rounds", type=int, default=3)
    add("--tasks", type=int, default=10_000, help="in a turn, at most")
    add(
        "--seconds",
        type=float,
        default=8.0,
        help="for a drain: slow peers get fewer tasks",
    )
    add("--latencies", type=int, default=200, help="tasks of `latency`")
    add(
        "--depth",
        type=int,
        default=100_000,
        help="of `waiting`, `results` and `schedules`",
    )
    add("--idle", type=float, default=20.0, help="seconds of `idle`")
    add("--patience", type=float, default=30.0, help="seconds after a fault, at most")
    add("--workers", type=int, default=2)
    add("--calm", type=float, default=4.0, help="seconds to wait for a calm machine")
    add(
        "--limits", action="store_true", help="what the machine can do without any peer"
    )
    add("--stages", action="store_true", help="where the time of one task goes")
    add(
        "--instructions",
        action="store_true",
        help="the same in instructions, which no load of the machine changes (valgrind)",
    )
    add(
        "--features",
        action="store_true",
        help="what batches, limits, unique tasks, graphs and steps cost, as ratios to a plain"
        " task (valgrind)",
    )
    add(
        "--no-fsync",
        dest="fsync",
        action="store_false",
        help="PostgreSQL does not wait for the disk, where others keep that busy",
    )
    add(
        "--here",
        action="store_true",
        help="run qcore in this environment, not in one that is made for it",
    )
    add("--json", action="store_true", help="the figures of every turn")
    options = parser.parse_args()
    try:
        options.peers = parse(options.peers, options.store)
    except ValueError as error:
        parser.error(str(error))
    names = list(MEASUREMENTS)
    options.measure = names if options.measure == "all" else options.measure.split(",")
    if unknown := set(options.measure) - set(names):
        parser.error(f"unknown {min(unknown)!r}; --measure takes: {', '.join(names)}")
    options.measure = [
        name for name in options.measure if options.store in MEASUREMENTS[name].stores
    ]
    return options


def plan_of(options: argparse.Namespace) -> Plan:
    """Return how much is to be done."""
    return Plan(
        tasks=options.tasks,
        seconds=options.seconds,
        workers=options.workers,
        latencies=options.latencies,
        depth=options.depth,
        patience=options.patience,
        idle=options.idle,
    )


def _epilog() -> str:
    lines = ["measurements:"]
    lines += [f"  {m.name:<10} {m.what}" for m in MEASUREMENTS.values()]
    lines += ["", "peers, their stores and variants:"]
    for peer in PEERS:
        module = load(peer)
        variants = " ".join(f"{peer}:{name}" for name in module.VARIANTS)
        lines.append(f"  {peer:<16} {' '.join(module.STORES):<22} {variants}")
    return "\n".join(lines)
