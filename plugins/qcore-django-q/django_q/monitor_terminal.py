"""What is shown in a terminal: the verbs of qcore, under the names of django-q."""

from __future__ import annotations

import sys
from argparse import Namespace

from qcore.cli import info as info_verb
from qcore.cli import memory as memory_verb
from qcore.cli import monitor as monitor_verb
from qcore.status import running

from .status import Stat, Status


def monitor(run_once: bool = False, broker: object = None) -> list[Status] | None:
    """Show the running clusters until q is typed, or once; then return them."""
    options = Namespace(run_once=run_once, json=False, interval=1.0)
    monitor_verb.run(options, sys.stdout)
    return Stat.get_all() if run_once else None


def info(broker: object = None) -> None:
    """Show totals and rates."""
    info_verb.run(Namespace(config=False, ids=False, json=False), sys.stdout)


def memory(
    run_once: bool = False, workers: bool = False, broker: object = None
) -> None:
    """Show the memory of every process until q is typed, or once."""
    options = Namespace(run_once=run_once, json=False, interval=1.0)
    memory_verb.run(options, sys.stdout)


def get_ids() -> bool:
    """Print the ids of the running clusters."""
    for snapshot in running():
        sys.stdout.write(f"{snapshot.cluster}\n")
    return True
