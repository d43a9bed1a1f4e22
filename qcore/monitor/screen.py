"""Where frames appear: a terminal drawn in place; and the keys typed into it."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Protocol, Self, TextIO

_ENTER = "\x1b[?1049h\x1b[?25l"  # the alternate screen, without a cursor
_LEAVE = "\x1b[?25h\x1b[?1049l"


class Keys(Protocol):
    """What is typed."""

    def __call__(self, timeout: float) -> str:
        """Return the keys typed, or ``""`` when ``timeout`` seconds have passed."""


@contextlib.contextmanager
def keys(source: TextIO) -> Iterator[Keys]:
    """Read single keys from a terminal; where there is none, only let time pass."""
    try:
        import termios
        import tty

        number = source.fileno()
        before = termios.tcgetattr(number)
    except (ImportError, OSError, ValueError, termios.error):
        yield _pause
        return

    def read(timeout: float) -> str:
        ready, _, _ = select.select([number], [], [], timeout)
        if not ready:
            return ""
        # a terminal that has gone is always ready, and empty
        return os.read(number, 64).decode(errors="replace") or _pause(timeout)

    tty.setcbreak(number)  # not raw: Ctrl-C must go on interrupting
    try:
        yield read
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


def _pause(timeout: float) -> str:
    time.sleep(timeout)
    return ""


class Screen:
    """The alternate screen of a terminal, for the length of a ``with``."""

    def __init__(self, out: TextIO) -> None:
        self.out = out

    def __enter__(self) -> Self:
        self.out.write(_ENTER)
        return self

    def __exit__(self, *_: object) -> None:
        self.out.write(_LEAVE)
        self.out.flush()

    def show(self, lines: Sequence[str], footer: Sequence[str] = ()) -> None:
        """Draw a frame; what does not fit above the footer is cut off."""
        rows = shutil.get_terminal_size().lines
        seen = [*lines[: max(rows - len(footer), 0)], *footer]
        body = "\r\n".join(f"{line}\x1b[K" for line in seen[:rows])
        self.out.write(f"\x1b[H{body}\x1b[J")
        self.out.flush()


def width() -> int:
    """Return the columns of the terminal; 80 where there is none."""
    return shutil.get_terminal_size().columns


def height() -> int:
    """Return the rows of the terminal; 24 where there is none."""
    return shutil.get_terminal_size().lines


def is_terminal(out: TextIO) -> bool:
    """Whether somebody watches ``out`` and can type."""
    return out.isatty() and sys.stdin.isatty()
