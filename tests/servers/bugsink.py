"""A private Bugsink: a real receiver of Sentry's events, which it stores and groups."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

from .base import LoopbackServer, ServerFailed, find_program
from .environments import find_server

# Run inside Bugsink, whose own models say what has arrived.
_PROJECT = (
    "from projects.models import Project; print(Project.objects.create(name='x').dsn)"
)
_EVENTS = """
import json
from events.models import Event
rows = Event.objects.order_by("digest_order")
print(json.dumps([[str(e.issue_id), json.loads(e.get_raw_data())] for e in rows]))
"""


class BugsinkServer(LoopbackServer):
    """Runs ``gunicorn bugsink.wsgi`` on SQLite; events are digested as they come."""

    def __init__(self) -> None:
        self._gunicorn = find_server("bugsink", "gunicorn")
        super().__init__()

    def prepare(self) -> None:
        where = ["--template=local", f"--host={self.host}", f"--port={self.port}"]
        self._call("bugsink-create-conf", *where)
        for database in ("default", "snappea"):
            self._call("bugsink-manage", "migrate", "-v0", f"--database={database}")

    def command(self) -> list[str]:
        words = [self._gunicorn, "--bind", f"{self.host}:{self.port}", "--workers", "1"]
        # the settings of the tests are not those of this project
        environment = ["-u", "DJANGO_SETTINGS_MODULE", f"PYTHONPATH={self.folder}"]
        return [find_program("env"), *environment, *words, "bugsink.wsgi"]

    def ready(self, connection: socket.socket) -> bool:
        host = f"{self.host}:{self.port}".encode()
        connection.sendall(b"GET /health/ready HTTP/1.0\r\nHost: " + host + b"\r\n\r\n")
        return connection.recv(64).startswith(b"HTTP/1.")

    def make_project(self) -> str:
        """Return the DSN of a new project."""
        return self._shell(_PROJECT)

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the issue and the content of each event, oldest first."""
        return [(issue, event) for issue, event in json.loads(self._shell(_EVENTS))]

    def _shell(self, code: str) -> str:
        return self._call("bugsink-manage", "shell", "-v0", "-c", code)

    def _call(self, program: str, *words: str) -> str:
        """Run a program of Bugsink in its folder, and return its last line."""
        done = subprocess.run(
            [str(Path(self._gunicorn).with_name(program)), *words],
            capture_output=True,
            check=False,
            text=True,
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(self.folder)},
        )
        if done.returncode:
            raise ServerFailed(f"{program} failed:\n{done.stdout}{done.stderr}")
        return done.stdout.strip().rpartition("\n")[2]
