"""``qcore dev``: a cluster that starts again when the code changes."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys

import pytest
from chores.ledger import wait_for
from support.cli_project import SETTINGS, clean_environment, write_project

from qcore.cli import main
from qcore.testing.speed import stretched

pytestmark = [pytest.mark.once, pytest.mark.live]

APP = 'INSTALLED_APPS = ["qcore", "qcore_orm", "kitchen"]'


@pytest.fixture
def project(tmp_path):
    settings = re.sub("INSTALLED_APPS = .*", APP, SETTINGS)
    folder = write_project(tmp_path, settings)
    (folder / "kitchen").mkdir()
    (folder / "kitchen" / "__init__.py").write_text("")
    (folder / "kitchen" / "tasks.py").write_text("print('one', flush=True)\n")
    migrate = [sys.executable, "manage.py", "migrate", "-v0"]
    subprocess.run(migrate, cwd=folder, env=clean_environment(), check=True)
    return folder


@pytest.fixture
def dev(project):
    """Start it; return the process and what gives all that it has written so far."""
    with (project / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "qcore", "dev", "--grace", "1"],
            cwd=project,
            env=clean_environment(QCORE_RUN_DIR=str(project / "run")),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # as a terminal does: Ctrl-C reaches the whole group
        )
    try:
        yield process, (project / "log").read_text
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
            except ProcessLookupError:
                break
            try:
                process.wait(stretched(20))
            except subprocess.TimeoutExpired:
                continue


def save(path, text, is_seen):
    """Save a file, and again: a change before the first look of the reloader is not seen."""
    for _ in range(20):
        path.write_text(text)
        with contextlib.suppress(AssertionError):
            return wait_for(is_seen, 6)
    raise AssertionError(f"a change of {path} was never seen")


def test_a_change_starts_the_cluster_again(project, dev):
    process, log = dev
    tasks = project / "kitchen" / "tasks.py"
    wait_for(lambda: log().count("is ready") == 1, 60)
    save(tasks, "print('two', flush=True)\n", lambda: "two" in log())
    wait_for(lambda: log().count("is ready") > 1, 60)
    assert log().index("one") < log().index("two")

    save(tasks, "print('three'\n", lambda: "SyntaxError" in log())
    save(tasks, "print('four', flush=True)\n", lambda: "four" in log())

    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(stretched(60)) == 0
    wait_for(lambda: not list((project / "run").iterdir()), 60)


def test_settings_that_cannot_be_loaded_wait_for_a_change(project, dev):
    process, log = dev
    settings = project / "shop_settings.py"
    text = settings.read_text()
    broken = "import nothing_of_that_name\n"
    save(settings, broken, lambda: "nothing_of_that_name" in log())
    save(settings, text, lambda: "is ready" in log())
    process.send_signal(signal.SIGTERM)  # as a supervisor ends it
    process.wait(stretched(60))
    wait_for(lambda: not list((project / "run").iterdir()), 60)


def test_the_grace_is_a_number_of_seconds(capsys):
    assert main(["dev", "--grace", "soon"]) == 2
    assert "'soon' is not from 0 to 3600 seconds" in capsys.readouterr().err
