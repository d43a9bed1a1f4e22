"""A virtual environment of its own, in which what is installed is used as users do."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml"))
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment of its own in ``folder``."""

    folder: Path

    def run(self, program: str, *words: str) -> str:
        """Run a program of the environment in an empty folder; return its output."""
        # nor what the tests' own environment says of itself, to Python and to uv
        ours = ("PYTHON", "UV_PROJECT_", "UV_PYTHON", "VIRTUAL_ENV")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        clean.pop("DJANGO_SETTINGS_MODULE", None)
        done = subprocess.run(
            [str(self.folder / "bin" / program), *words],
            cwd=self.folder,
            env=clean,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{program} {words}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def typed(self, line: str, folder: Path, *, code: int = 0, **variables: str) -> str:
        """Type a line into a shell in ``folder``, the environment active; return what it says.

        Args:
            line: as a message or a page shows it.
            folder: where it is typed.
            code: the exit code that is expected.
            variables: of the environment, beside those that every shell has.
        """
        done = subprocess.run(
            ["/bin/sh", "-c", line],
            cwd=folder,
            env={**self.variables(), **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == code, f"{line}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def variables(self) -> dict[str, str]:
        """Return the variables of a shell in which the environment is active."""
        ours = ("PYTHON", "UV_", "PIP_FIND", "VIRTUAL_ENV", "DJANGO_", "Q_CLUSTER")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        path = os.pathsep.join([str(self.folder / "bin"), kept["PATH"]])
        return {**kept, "PATH": path, "VIRTUAL_ENV": str(self.folder)}

    def pip(self, *words: str) -> str:
        return self.run("pip", "--disable-pip-version-check", *words)

    def versions(self) -> dict[str, str]:
        """Return what is installed: the version of every distribution."""
        listed = json.loads(self.pip("list", "--format", "json"))
        return {row["name"]: row["version"] for row in listed}

    def plugins(self) -> dict[str, dict[str, object]]:
        """Return what ``qcore plugins --json`` says, by the name of the plugin."""
        said = json.loads(self.run("qcore", "plugins", "--json"))
        return {row["name"]: row for row in said["plugins"]}
