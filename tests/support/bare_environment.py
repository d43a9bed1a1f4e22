"""A virtual environment of its own, in which what is installed is used as users do."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml"))
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment of its own in ``folder``.

    Args:
        folder: where it is.
        has_builder: it has what builds packages, and pip shall use that: it fetches it for
            each package otherwise.
    """

    folder: Path
    has_builder: bool = False

    @classmethod
    def like(
        cls, other: Path, folder: Path, *, has_builder: bool = False
    ) -> Environment:
        """Make an environment with what another one has installed, compiled as it is there."""
        venv.create(folder, symlinks=True)
        for lib in other.glob("lib/python*/site-packages"):
            # with its times: what was compiled is compiled
            into = str((folder / lib.relative_to(other)).parent)
            subprocess.run(["cp", "-R", "-p", str(lib), into], check=True)
        for program in (other / "bin").iterdir():
            copy = folder / "bin" / program.name
            if not copy.exists() and not program.is_symlink():
                text = program.read_text().replace(str(other), str(folder))
                copy.write_text(text)
                copy.chmod(0o755)
        return cls(folder, has_builder=has_builder)

    def run(self, program: str, *words: str) -> str:
        """Run a program of the environment in an empty folder; return its output."""
        # nor what the tests' own environment says of itself, to Python and to uv
        ours = ("PYTHON", "UV_PROJECT_", "UV_PYTHON", "VIRTUAL_ENV")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        clean.pop("DJANGO_SETTINGS_MODULE", None)
        clean |= self._for_pip()
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
        own = {"PATH": path, "VIRTUAL_ENV": str(self.folder)}
        return {**kept, **own, **self._for_pip()}

    def _for_pip(self) -> dict[str, str]:
        # pip reads the value of this option the other way round: 0 means no isolation
        return {"PIP_NO_BUILD_ISOLATION": "0"} if self.has_builder else {}

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
