"""What messages and pages say to type is typed, word for word, in bare environments.

Slow; the session ``install`` runs it, in an environment that has neither Django nor qcore.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from documents.blocks import Block, blocks, name_of
from support.bare_environment import ROOT, Environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

#: The commands of pip that a message has; they end it.
COMMAND = re.compile(
    r"Run: (?P<line>(?:\S*pip|\S*python\S* -m pip|uv pip) .*)$", re.MULTILINE
)

SETTINGS = """
SECRET_KEY = "of tests alone"
INSTALLED_APPS = ["qcore"]
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "x.db"}}}}
Q_CLUSTER = {cluster!r}
"""
MEMORY = {"broker_class": "qcore.brokers.memory.MemoryBroker"}


@pytest.fixture
def desk(tmp_path: Path, dist: Path) -> Path:
    """The folder in which things are typed; its ``dist`` is the wheelhouse."""
    folder = tmp_path / "desk"
    folder.mkdir()
    (folder / "dist").symlink_to(dist)
    return folder


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout, in which wheels and projects may be made."""
    copy = tmp_path_factory.mktemp("copies") / "qcore"
    made = shutil.ignore_patterns(".*", "__pycache__", "dist", "_build")
    shutil.copytree(ROOT, copy, ignore=made)
    return copy


# -- messages ---------------------------------------------------------------------------
def told(said: str) -> str:
    """Return the command that a message ends with."""
    found = COMMAND.search(said)
    assert found is not None, said
    return found["line"]


def check_of(bare: Environment, desk: Path, cluster: dict[str, object]) -> str:
    """Return what the checks say of a project with this Q_CLUSTER."""
    (desk / "shop_settings.py").write_text(SETTINGS.format(cluster=cluster))
    line = "django-admin check --settings shop_settings --pythonpath ."
    return bare.typed(line, desk, code=1)


def test_every_message_names_a_command_that_installs(
    furnished: Environment, desk: Path
) -> None:
    furnished.typed('pip install -q --find-links dist "qcore>=2"', desk)

    said = {
        "orm": furnished.typed("qcore demo", desk, code=2),
        "disque": furnished.typed("qcore plugin new disque", desk, code=2),
        "redis": check_of(furnished, desk, {"redis": {}}),
        "sentry": check_of(
            furnished, desk, MEMORY | {"error_reporter": {"sentry": {}}}
        ),
    }
    assert told(check_of(furnished, desk, {})) == told(said["orm"])  # no broker at all
    listed = json.loads(furnished.typed("qcore plugins --json", desk))["plugins"]
    commands = {row["name"]: row["install"] for row in listed}
    shown = furnished.typed("qcore plugins", desk)
    for name, text in said.items():
        assert told(text) == commands[name]
        assert told(text) in shown
        furnished.typed(told(text), desk)

    assert {furnished.plugins()[name]["state"] for name in said} == {"ok"}
    assert furnished.plugins()["mongo"]["state"] == "not installed"


@pytest.mark.parametrize(
    "line",
    [
        'pip install -q --find-links dist "qcore>=2"',
        "pip install -q dist/qcore-2*.whl",
        "pip install -q {checkout}",
        "pip install -q -e {checkout}",
        'pip install -q -e "{checkout}[orm]" -e {checkout}/plugins/qcore-orm',
    ],
)
def test_however_qcore_was_installed(
    furnished: Environment, desk: Path, checkout: Path, line: str
) -> None:
    furnished.typed(line.format(checkout=checkout), desk)
    furnished.typed(str(furnished.plugins()["redis"]["install"]), desk)
    assert furnished.plugins()["redis"]["state"] == "ok"
    if " -e " in line:
        found = furnished.run(
            "python", "-c", "import qcore_redis as q; print(q.__file__)"
        )
        assert Path(found.strip()).is_relative_to(checkout)


def test_an_environment_of_uv(bare: Environment, desk: Path) -> None:
    bare.pip("install", "-q", "uv")
    bare.typed(f"uv venv -q --python {sys.executable} of-uv", desk)
    of_uv = Environment(desk / "of-uv")
    python = f"--python {of_uv.folder}/bin/python"
    bare.typed(f'uv pip install -q {python} --find-links dist "qcore>=2"', desk)
    install = str(of_uv.plugins()["redis"]["install"])
    assert install.startswith("uv pip install ")
    bare.typed(install, desk)  # uv is not in the environment that it makes
    assert of_uv.plugins()["redis"]["state"] == "ok"


def test_the_pip_of_another_environment_is_not_used(
    furnished: Environment, desk: Path
) -> None:
    furnished.typed('pip install -q --find-links dist "qcore>=2"', desk)
    path = "PATH=/usr/bin:/bin"
    said = furnished.typed(f"{path} {furnished.folder}/bin/qcore demo", desk, code=2)
    furnished.typed(f"{path}; {told(said)}", desk)
    assert furnished.plugins()["orm"]["state"] == "ok"


# -- pages ------------------------------------------------------------------------------
def lines_of(block: Block) -> list[str]:
    return [line for line in block.text.splitlines() if line.strip()]


def installing(page: Path) -> list[Block]:
    """Return the blocks of a page that install something."""
    return [block for block in blocks(page, "sh") if "pip install" in block.text]


def test_the_page_of_every_plugin(furnished: Environment, checkout: Path) -> None:
    pages = sorted(checkout.glob("plugins/*/README.md"))
    lines: dict[tuple[str, Path], None] = {}
    for page in [checkout / "plugins" / "README.md", *pages]:
        place = page.parent if page.parent.name == "qcore-example" else checkout
        for block in installing(page):
            lines |= dict.fromkeys((line, place) for line in lines_of(block))
    for line, place in lines:
        furnished.typed(line, place)
    found = furnished.plugins()
    names = {page.parent.name.removeprefix("qcore-") for page in pages}
    assert {found[name]["state"] for name in names} == {"ok"}


@pytest.mark.parametrize(
    ("kind", "page", "way"),
    [
        ("bare", "README.md", 0),
        # pip builds all distributions here
        ("furnished", "README.md", 1),
        ("furnished", "docs/tutorial/start.md", 0),
    ],
)
def test_the_first_minutes(
    request: pytest.FixtureRequest,
    checkout: Path,
    tmp_path: Path,
    kind: str,
    page: str,
    way: int,
) -> None:
    """From an empty environment to a result: every line that the page shows, in order."""
    bare: Environment = request.getfixturevalue(kind)
    path = checkout / page
    for line in lines_of(installing(path)[way]):
        bare.typed(line, checkout)
    folder = tmp_path / "projects"
    folder.mkdir()
    with Reader(bare, folder).reading() as reader:
        for block in blocks(path, "sh", "python", "pycon"):
            if "pip " not in block.text and "noxfile" not in block.text:
                reader.follow(block, name_of(ROOT / page))
    assert reader.sessions
    assert reader.has_cluster
    # what `startproject` gives is still there
    line = (
        "python manage.py shell -c 'from django.test import Client;"
        ' print(Client().get("/admin/login/", headers={"host": "localhost"}))\''
    )
    assert "status_code=200" in bare.typed(line, reader.folder)


#: Typed into `python manage.py shell`: the session of a page, as doctest compares it.
SESSION = """
import doctest, json, pathlib, sys
told = json.loads(pathlib.Path("session.json").read_text())
names = globals().setdefault("names", {})
test = doctest.DocTestParser().get_doctest(told["text"], {}, told["page"], None, 0)
runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
sys.exit(bool(runner.run(test).failed))
"""


class Reader:
    """Somebody who does what a page says, in a new folder, and nothing else."""

    def __init__(self, bare: Environment, folder: Path) -> None:
        self.bare = bare
        self.folder = folder
        self.sessions = ""
        self.cluster: subprocess.Popen[str] | None = None

    @property
    def has_cluster(self) -> bool:
        return self.cluster is not None

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """End the cluster that was started; it must end in order."""
        try:
            yield self
        finally:
            if self.cluster is not None:
                self.cluster.send_signal(signal.SIGINT)
                said, _ = self.cluster.communicate()
        if self.cluster is not None:
            assert self.cluster.returncode == 0, said
            assert "is ready" in said

    def follow(self, block: Block, page: str) -> None:
        if block.is_session:
            self.shell(block.text, page)
        elif block.file:
            path = self.folder / block.file
            with path.open("a") as file:
                file.write(f"\n{block.text}")
        else:
            for line in lines_of(block):
                self.type(line)

    def type(self, line: str) -> None:
        if line == "qcore cluster":
            self.start(line)
        elif line.startswith("cd "):
            self.folder /= line.removeprefix("cd ")
        elif line != "python manage.py shell":  # the session that follows is it
            self.bare.typed(line, self.folder)

    def start(self, line: str) -> None:
        self.cluster = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {line}"],
            cwd=self.folder,
            env=self.bare.variables(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def shell(self, text: str, page: str) -> None:
        """Type what a session shows after those before it, as in one shell."""
        self.sessions += text
        told = {"text": self.sessions, "page": page}
        (self.folder / "session.json").write_text(json.dumps(told))
        (self.folder / "session.py").write_text(SESSION)
        line = "python manage.py shell -c 'exec(open(\"session.py\").read())'"
        self.bare.typed(line, self.folder)
