"""Servers that are Python packages, each in an environment of its own.

``python3 noxfile.py -s servers`` makes the environments, so that what these servers
pin never meets what qcore needs.
"""

from __future__ import annotations

from pathlib import Path

from .base import find_program

ROOT = Path(__file__).parents[2]


def find_server(server: str, program: str) -> str:
    """Return the path of a program of ``.nox/server-<server>``, or raise."""
    return find_program(program, str(ROOT / ".nox" / f"server-{server}" / "bin"))
