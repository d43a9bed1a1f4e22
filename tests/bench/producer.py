"""Runs in a peer's environment: ``setup``, ``enqueue COUNT`` or ``work``."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time


def main() -> None:
    """Do what the arguments say; the last line of output is JSON."""
    import django

    django.setup()
    name = os.environ["BENCH_PEER"].replace("-", "_")
    peer = importlib.import_module(f"peers.{name}")
    if sys.argv[1] == "work":
        os.execvp(sys.executable, [sys.executable, *peer.worker()])
    if sys.argv[1] == "setup":
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        print("{}")
        return
    count = int(sys.argv[2])
    enqueue = peer.producer()
    started = time.perf_counter()
    for number in range(count):
        enqueue(number)
    print(json.dumps({"rate": count / (time.perf_counter() - started)}))


main()
