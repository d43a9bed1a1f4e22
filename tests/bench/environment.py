"""An environment for each peer, made once, in the user's cache."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import venv
from pathlib import Path


def make_environment(peer: str) -> Path:
    """Return the Python that has a peer installed; make it where it is not there.

    The environments stand in ``$QCORE_BENCH_HOME`` or ``~/.cache/qcore-bench``. That of
    qcore is installed anew each time, so that it is this checkout which is measured.
    """
    module = importlib.import_module(f"peers.{peer.replace('-', '_')}")
    home = os.environ.get("QCORE_BENCH_HOME") or Path.home() / ".cache/qcore-bench"
    folder = Path(home) / peer
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"making the environment of {peer} (once)", file=sys.stderr)
        venv.create(folder, with_pip=True)
    done = folder / "installed"
    wanted = "\n".join(module.REQUIREMENTS)
    if not done.exists() or done.read_text() != wanted:
        pip = [str(python), "-m", "pip", "install", "-q", *module.REQUIREMENTS]
        subprocess.run(pip, check=True)
        done.write_text(wanted)
    return python
