"""Other work for the machine: processes that only reckon, and end with who started them.

``python tests/support/busy.py`` is one of them. The session ``busy`` of noxfile.py and
`loops` start several.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loops(number: int = 4) -> Iterator[None]:
    """Keep processors busy for the length of a ``with`` block."""
    running = [subprocess.Popen([sys.executable, __file__]) for _ in range(number)]
    try:
        yield
    finally:
        for loop in running:
            loop.kill()
            loop.wait()


def main() -> None:
    """Reckon until the parent has ended, however it ended."""
    parent = os.getppid()
    while os.getppid() == parent:
        for _ in range(1_000_000):
            pass


if __name__ == "__main__":
    main()
