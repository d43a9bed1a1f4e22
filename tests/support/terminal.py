"""A program in a terminal of its own: what it draws, and keys for it."""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
from pathlib import Path
from typing import Self

from qcore.testing.speed import Patience


class Terminal:
    """Runs ``words`` in a pseudo-terminal; use it as a context manager."""

    def __init__(
        self, words: list[str], folder: Path, env: dict[str, str], size=(24, 80)
    ) -> None:
        self.drawn = ""
        # a letter may come in two parts
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self.size = size
        self._number, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        self.before = termios.tcgetattr(inner)
        self._inner = inner
        sizeless = {k: v for k, v in env.items() if k not in {"COLUMNS", "LINES"}}
        self.process = subprocess.Popen(
            words,
            cwd=folder,
            env={**sizeless, "TERM": "xterm-256color"},
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._inner)
        os.close(self._number)

    def wait_for(self, text: str, seconds: float = 20) -> None:
        """Read until ``text`` has been drawn."""
        deadline = Patience(seconds)
        while text not in self.drawn:
            assert not deadline.is_over(), f"no {text!r} in {self.drawn[-2000:]!r}"
            self._read(0.2)

    def rows(self, last: str) -> list[str]:
        """What is on the screen, row by row, without the blanks at the ends.

        Args:
            last: what a program draws at the end of each picture. What has come of the
                next one is left out, for half a picture says nothing.
        """
        end = self.drawn.rindex(last) + len(last)
        emulator = Emulator(self.size)
        emulator.draw(self.drawn[:end])
        return emulator.rows

    def type(self, keys: str) -> None:
        os.write(self._number, keys.encode())

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def end(self, seconds: float = 20) -> int:
        """Read until the program has ended and return its exit code."""
        deadline = Patience(seconds)
        while self.process.poll() is None:
            assert not deadline.is_over(), "it does not end"
            self._read(0.1)
        while self._read(0.0):  # not all that is left need come at once
            pass
        return self.process.returncode

    @property
    def settings(self) -> list[object]:
        """The modes of the terminal, as termios has them."""
        return termios.tcgetattr(self._inner)

    def _read(self, seconds: float) -> bool:
        """Read what comes within some seconds; return whether anything has come."""
        ready, _, _ = select.select([self._number], [], [], seconds)
        found = b""
        with contextlib.suppress(OSError):
            if ready:
                found = os.read(self._number, 65_536)
        self.drawn += self._decode(found)
        return bool(found)


SEQUENCE = re.compile(r"\x1b\[\??(?P<numbers>[\d;]*)(?P<final>[A-Za-z])")


class Emulator:
    """Draws what a program has written, as a terminal would; colours are left out.

    It knows what our screens use: lines that wrap and scroll, moves to a place, and
    erasing to the end of a line or of the screen. Anything else fails the test.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.height, self.width = size
        self.row = self.column = 0
        self.grid = [self._blank() for _ in range(self.height)]

    def _blank(self) -> list[str]:
        return [" "] * self.width

    @property
    def rows(self) -> list[str]:
        return ["".join(line).rstrip() for line in self.grid]

    def draw(self, text: str) -> None:
        at = 0
        while at < len(text):
            sequence = SEQUENCE.match(text, at)
            if sequence:
                at = sequence.end()
                numbers = [int(n) for n in sequence["numbers"].split(";") if n]
                self._obey(sequence["final"], numbers)
            else:
                self._put(text[at])
                at += 1

    def _put(self, letter: str) -> None:
        if letter == "\r":
            self.column = 0
            return
        if letter == "\n" or self.column == self.width:
            self._next_row()
        if letter != "\n":
            assert letter.isprintable(), f"a terminal may not show {letter!r}"
            self.grid[self.row][self.column] = letter
            self.column += 1

    def _next_row(self) -> None:
        self.row, self.column = self.row + 1, 0
        if self.row == self.height:
            self.grid, self.row = [*self.grid[1:], self._blank()], self.height - 1

    def _obey(self, final: str, numbers: list[int]) -> None:
        if final == "H":
            self.row, self.column = [n - 1 for n in numbers] or (0, 0)
        elif final in "JK":
            self.grid[self.row][self.column :] = [" "] * (self.width - self.column)
            if final == "J":
                first = 0 if numbers == [2] else self.row + 1
                for row in range(first, self.height):
                    self.grid[row] = self._blank()
        else:
            # colours, the alternate screen and the cursor change no letter
            assert final in "mhl", f"the terminal does not know {final!r}"
