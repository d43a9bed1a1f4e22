"""An environment for each peer, made once, in the user's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from contenders import load

_ROOT = Path(__file__).parents[2]


def home() -> Path:
    """Return where environments stand: $QCORE_BENCH_HOME or ~/.cache/qcore-bench."""
    return Path(
        os.environ.get("QCORE_BENCH_HOME") or Path.home() / ".cache/qcore-bench"
    )


def make_environment(peer: str) -> Path:
    """Return the folder of programs of a peer; make it where it is not there.

    Raises:
        LookupError: no Python that is new enough for it is on this machine.
        subprocess.CalledProcessError: it cannot be installed; the reason is printed.
    """
    module = load(peer)
    python = _python(getattr(module, "PYTHON", ""))
    folder = home() / _folder_name(peer, module.REQUIREMENTS)
    done = folder / "installed"
    wanted = "\n".join([python, *module.REQUIREMENTS])
    if not done.exists() or done.read_text() != wanted:
        print(f"making the environment of {peer} (once)", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        _install(folder, python, module.REQUIREMENTS)
        done.write_text(wanted)
    return folder / "bin"


def _folder_name(peer: str, requirements: list[str]) -> str:
    """Return a name that each checkout has to itself where it is one that is installed."""
    if "-e" not in requirements:
        return peer
    return f"{peer}-{hashlib.sha256(str(_ROOT).encode()).hexdigest()[:8]}"


def _install(folder: Path, python: str, requirements: list[str]) -> None:
    """Make an environment with uv, or with venv and pip where uv cannot."""
    inside = str(folder / "bin" / "python")
    if uv := _uv():
        commands = [
            [uv, "venv", "-q", "--python", python, str(folder)],
            [uv, "pip", "install", "-q", "--python", inside, *requirements],
        ]
        if all(
            subprocess.run(command, check=False).returncode == 0 for command in commands
        ):
            return
        print("uv cannot; pip is asked", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
    if python == sys.executable:
        venv.create(folder, with_pip=True)
    else:
        subprocess.run([python, "-m", "venv", str(folder)], check=True)
    subprocess.run([inside, "-m", "pip", "install", "-q", *requirements], check=True)


def _uv() -> str | None:
    """Return uv: the machine's, or the one that installs the sessions of nox."""
    os.environ.setdefault("UV_SYSTEM_CERTS", "1")
    beside = [str(Path(sys.executable).parent), str(_ROOT / ".nox" / "nox" / "bin")]
    return shutil.which("uv") or shutil.which("uv", path=os.pathsep.join(beside))


def _python(version: str) -> str:
    """Return the Python that a peer wants; "" is satisfied by this one."""
    if not version or sys.version_info >= tuple(map(int, version.split("."))):
        return sys.executable
    folders = [
        *map(str, Path.home().glob(".pyenv/versions/*/bin")),
        *map(str, Path.home().glob(".local/share/uv/python/*/bin")),
        *os.environ.get("PATH", "").split(os.pathsep),
    ]
    for folder in folders:
        found = shutil.which(f"python{version}", path=folder)
        # a shim of pyenv is there for versions that are not switched on
        if (
            found
            and subprocess.run(
                [found, "-V"], capture_output=True, check=False
            ).returncode
            == 0
        ):
            return found
    raise LookupError(f"no Python {version} on this machine")
