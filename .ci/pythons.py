"""The Pythons of this machine, and what makes environments of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path


def fast_backend() -> str:
    """Return "uv" where it reaches the index that pip uses, else "venv".

    uv makes an environment in seconds, but it reads neither pip's configuration nor,
    unless told, the system's certificates.
    """
    os.environ.setdefault("UV_SYSTEM_CERTS", "1")
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        return "venv"
    ask = [uv, "pip", "compile", "--quiet", "--no-deps", "-"]
    try:
        asked = subprocess.run(
            ask, input="pluggy", text=True, capture_output=True, timeout=20, check=False
        )
    except subprocess.TimeoutExpired:
        return "venv"
    return "uv" if asked.returncode == 0 else "venv"


def newer_python() -> str | None:
    """Return the path of a Python from 3.12 on, which Django 6 needs."""
    names = [f"python3.{minor}" for minor in (13, 12, 14)]
    folders = [
        *os.environ.get("PATH", "").split(os.pathsep),
        *map(str, Path.home().glob(".pyenv/versions/*/bin")),
        *map(str, Path.home().glob(".local/share/uv/python/*/bin")),
        "/usr/local/bin",
    ]
    # A pyenv shim is there for versions that are not switched on; so each is asked.
    question = "import ensurepip, sys, venv; print(sys.version_info >= (3, 12))"
    for name in names:
        for folder in folders:
            found = shutil.which(name, path=folder)
            if not found:
                continue
            asked = subprocess.run(
                [found, "-c", question], capture_output=True, text=True, check=False
            )
            if asked.stdout.strip() == "True":
                return found
    return None
