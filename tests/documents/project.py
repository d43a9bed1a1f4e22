"""A Django project in a folder, with a real cluster, in which examples run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers.patience import Patience

SETTINGS = """
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
SECRET_KEY = "examples have no secrets"
USE_TZ = True
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "qcore",
    "qcore_orm",
]
if find_spec("qcore_limits"):
    INSTALLED_APPS.append("qcore_limits")
if find_spec("qcore_dashboard"):
    INSTALLED_APPS.append("qcore_dashboard")
if find_spec("qcore_flows"):
    INSTALLED_APPS.append("qcore_flows")
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": HERE / "db.sqlite3",
        "TEST": {"NAME": HERE / "test.sqlite3"},
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            "timeout": 20,
        },
    }
}
Q_CLUSTER = {"name": "docs", "orm": "default", "workers": 2, "timeout": 60}
"""

#: The database of a project with these settings.
DATABASE = "db.sqlite3"

#: Seconds for one program, one that hangs: a busy machine takes ten times as long as a calm
#: one, and the contract of a broker takes half a minute there.
PATIENCE = 600
#: Seconds of a calm machine that a cluster has to come up.
START = 60.0


class Project:
    """A folder in which programs of this environment run.

    Args:
        folder: exists; it is the working directory of every program.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        bin_folder = str(Path(sys.executable).parent)
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "DJANGO", "QCORE", "Q_CLUSTER"))
        }
        self.env = {**kept, "PATH": os.pathsep.join([bin_folder, kept["PATH"]])}

    @classmethod
    def with_settings(cls, folder: Path, migrated: Path | None = None) -> Project:
        """Make a project whose settings fit the pages of the manual, with its tables.

        Args:
            folder: of the project.
            migrated: the database of such a project, to be copied; None makes the tables.
        """
        project = cls(folder)
        project.use_settings()
        if migrated is None:
            project.run("django-admin migrate --verbosity 0")
        else:
            shutil.copy(migrated, folder / DATABASE)
        return project

    def use_settings(self, more: str = "") -> None:
        """Write the settings that fit the pages of the manual, and ``more`` below them."""
        self.env["DJANGO_SETTINGS_MODULE"] = "docs_settings"
        self.env["PYTHONPATH"] = str(self.folder)
        self.write("docs_settings.py", SETTINGS + more)

    def use_programs(self, folder: Path) -> None:
        """Run the programs of another environment before those of this one."""
        self.env["PATH"] = os.pathsep.join([str(folder), self.env["PATH"]])

    def write(self, name: str, text: str) -> None:
        """Add text to a file, as a reader does who types several examples into it."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_text() if path.exists() else ""
        path.write_text(f"{before}\n{text}")

    def run(self, line: str, stdin: str = "") -> str:
        """Run a line of shell and return what it writes; it must succeed."""
        done = subprocess.run(
            ["/bin/sh", "-c", line],
            cwd=self.folder,
            env=self.env,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{line}: {done.returncode}\n{done.stdout}"
        return done.stdout

    @contextmanager
    def cluster(self, line: str = "qcore cluster") -> Iterator[None]:
        """Run a cluster; its log is shown if the block fails, and it must end in order.

        The block begins when the cluster is ready: a page waits for some seconds for its
        tasks, and not for a start on a busy machine.
        """
        log = self.folder / "cluster.log"
        with log.open("w") as out:
            words = line.split()
            process = subprocess.Popen(
                words, cwd=self.folder, env=self.env, stdout=out, stderr=out
            )
        try:
            patience = Patience(START)
            while " is ready: " not in log.read_text() and process.poll() is None:
                assert not patience.is_over(), "the cluster does not come up"
                time.sleep(0.05)
            yield
        except BaseException as error:
            error.add_note(f"the cluster says:\n{log.read_text()}")
            raise
        finally:
            process.send_signal(signal.SIGINT)
            try:
                code = process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise
        assert code == 0, log.read_text()
