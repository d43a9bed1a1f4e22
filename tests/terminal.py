"""A program in a terminal of its own: what it draws, and keys for it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path
from typing import Self


class Terminal:
    """Runs ``words`` in a pseudo-terminal; use it as a context manager."""

    def __init__(
        self, words: list[str], folder: Path, env: dict[str, str], size=(24, 80)
    ) -> None:
        self.drawn = ""
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
        deadline = time.monotonic() + seconds
        while text not in self.drawn:
            assert time.monotonic() < deadline, f"no {text!r} in {self.drawn[-2000:]!r}"
            self._read(0.2)

    def type(self, keys: str) -> None:
        os.write(self._number, keys.encode())

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def end(self, seconds: float = 20) -> int:
        """Read until the program has ended and return its exit code."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "it does not end"
            self._read(0.1)
        self._read(0.1)
        return self.process.returncode

    @property
    def settings(self) -> list[object]:
        """The modes of the terminal, as termios has them."""
        return termios.tcgetattr(self._inner)

    def _read(self, seconds: float) -> None:
        ready, _, _ = select.select([self._number], [], [], seconds)
        with contextlib.suppress(OSError):
            if ready:
                self.drawn += os.read(self._number, 65_536).decode(errors="replace")
