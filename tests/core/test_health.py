"""The files that tell probes whether the clusters of this machine work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
from support.own_modules import give_own

from qcore import health
from qcore.cli import main
from qcore.cli.exits import OK, UNHEALTHY
from qcore.cluster.publishing import Publishing, responds
from qcore.cluster.run import _lives
from qcore.health import HUNG, Health
from qcore.processes import lives
from qcore.runtime import current
from qcore.status import Snapshot, WorkerStatus

HERE = os.getpid()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(health.VARIABLE, str(tmp_path / "run"))
    return tmp_path / "run"


@pytest.fixture
def gone():
    """Return the id of a process that has ended: no system has so many."""
    return 2**31 - 1


def a_cluster(**fields):
    usual = Health(
        name="shop", queue="mail", sentinel_pid=HERE, dispatcher_pid=1,
        state="running", problem=None, workers=2, ready=2, started=100.0,
        written=time.monotonic(), lifetime=8.0,
    )  # fmt: skip
    return usual._replace(**fields)


def ask(capsys, *words):
    code = main(["health", *words])
    shown = capsys.readouterr()
    return code, shown.out + shown.err


def test_what_is_written_can_be_read():
    health.write(a_cluster())
    assert health.read() == [a_cluster(written=health.read()[0].written)]
    assert health.last_word(HERE) == health.read()[0]


def test_nothing_is_there_where_no_cluster_has_written(capsys, folder):
    code, shown = ask(capsys)
    assert code == UNHEALTHY
    assert f"looked in {folder}" in shown
    assert health.VARIABLE in shown
    assert health.last_word(HERE) is None


def test_a_cluster_that_works_is_live_and_ready(capsys):
    health.write(a_cluster())
    assert ask(capsys) == (
        OK,
        f"ready: shop, queue mail, process {HERE}: 2 of 2 workers have started\n",
    )
    assert ask(capsys, "--live")[0] == OK


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"problem": "redis cannot be reached"}, "redis cannot be reached"),
        ({"state": "stopping"}, "it is stopping"),
        ({"ready": 0}, "no worker has started yet"),
        ({"lifetime": -1.0}, "it has said nothing for"),
    ],
)
def test_a_cluster_that_waits_is_live_and_not_ready(capsys, fields, why):
    health.write(a_cluster(**fields))
    assert ask(capsys, "--live")[0] == OK
    code, shown = ask(capsys, "--ready")
    assert code == UNHEALTHY
    assert shown.startswith("not ready: shop, queue mail")
    assert why in shown


@pytest.mark.parametrize("ago", [HUNG + 1, -1000.0])
def test_a_cluster_that_hangs_is_not_live(capsys, ago):
    """What was written in the future was written before this machine was started again."""
    health.write(a_cluster(written=time.monotonic() - ago))
    code, shown = ask(capsys, "--live")
    assert code == UNHEALTHY
    assert "it has said nothing for" in shown
    assert not responds(HERE)


def test_a_cluster_that_was_killed_is_not_live(capsys, gone):
    health.write(a_cluster(sentinel_pid=gone))
    code, shown = ask(capsys, "--live")
    assert code == UNHEALTHY
    assert f"its main process {gone} has gone" in shown


@pytest.mark.live
def test_a_zombie_has_gone(capsys):
    """As in a container without an init process, which reaps nobody."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    try:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        os.kill(child.pid, 0)  # its number is still taken
        assert not lives(child.pid)
        assert not _lives(child.pid)
        health.write(a_cluster(sentinel_pid=child.pid))
        code, shown = ask(capsys, "--live")
        assert (code, f"process {child.pid} has gone" in shown) == (UNHEALTHY, True)
    finally:
        child.wait()
    assert lives(HERE)
    assert not lives(child.pid)


def test_one_of_several_projects_can_be_asked_for(capsys):
    health.write(a_cluster())
    health.write(a_cluster(name="other", sentinel_pid=1, problem="away"))
    code, shown = ask(capsys)
    assert code == UNHEALTHY
    assert "clusters of 2 projects" in shown
    assert "qcore health --project other" in shown
    code, shown = ask(capsys, "--project", "shop")
    assert (code, shown.count("\n")) == (OK, 1)
    code, shown = ask(capsys, "-p", "nobody", "-n", "mail")
    assert code == UNHEALTHY
    assert "no cluster of project nobody of queue mail has said" in shown


def test_a_cluster_that_took_the_place_of_a_killed_one_counts_alone(capsys, gone):
    health.write(a_cluster(sentinel_pid=gone, started=1.0))
    health.write(a_cluster())
    assert ask(capsys)[0] == OK
    assert len(health.read()) == 1
    health.write(a_cluster(sentinel_pid=gone, queue="other"))
    assert ask(capsys)[0] == UNHEALTHY, "nobody has taken the place of this one"


def test_one_queue_can_be_asked_for(capsys):
    health.write(a_cluster())
    assert ask(capsys, "--name", "mail")[0] == OK
    code, shown = ask(capsys, "--name", "urgent")
    assert code == UNHEALTHY
    assert "no cluster of queue urgent" in shown


def test_the_answer_as_json(capsys):
    from support.json_schemas import validate

    code, shown = ask(capsys, "--json")
    validate(json.loads(shown))
    assert (code, json.loads(shown)["healthy"]) == (UNHEALTHY, False)
    health.write(a_cluster(problem="away"))
    code, shown = ask(capsys, "--json")
    document = json.loads(shown)
    validate(document)
    (cluster,) = document["clusters"]
    assert (cluster["healthy"], cluster["why"]) == (False, "away")
    assert ask(capsys, "--json", "--live")[0] == OK


def test_a_stop_removes_the_file_and_those_of_the_dead(folder, gone):
    health.write(a_cluster())
    health.write(a_cluster(sentinel_pid=gone, queue="other"))
    health.write(a_cluster(sentinel_pid=os.getppid()))
    health.remove(HERE)
    assert [path.name for path in folder.iterdir()] == [f"{os.getppid()}.json"]


def test_a_file_that_nobody_can_read_is_nobodys(folder):
    folder.mkdir()
    (folder / "1.json").write_text("{")
    (folder / "2.json").write_text("[]")
    (folder / "3.json").write_text('{"name": "shop"}')
    assert health.read() == []


def test_the_folder_without_a_variable(monkeypatch, tmp_path):
    monkeypatch.delenv(health.VARIABLE)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert health.folder() == tmp_path / "qcore"
    health.write(a_cluster())
    assert health.folder().stat().st_mode & 0o777 == 0o700
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert health.folder().name == f"qcore-{os.getuid()}"


def test_the_folder_goes_with_the_last_file(monkeypatch, tmp_path):
    monkeypatch.delenv(health.VARIABLE)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    health.write(a_cluster())
    health.write(a_cluster(sentinel_pid=os.getppid()))
    health.remove(HERE)
    assert health.folder().is_dir()
    health.remove(os.getppid())
    assert list(tmp_path.iterdir()) == []
    health.remove(HERE)  # once more changes nothing
    health.write(a_cluster())
    assert health.last_word(HERE)


def test_no_folder_for_temporary_files(monkeypatch):
    monkeypatch.delenv(health.VARIABLE)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)

    def none():
        raise FileNotFoundError("No usable temporary directory found")

    give_own(monkeypatch, health, "tempfile", gettempdir=none)
    assert health.folder().name == f"qcore-{os.getuid()}"
    health.remove(2**31 - 1)


def test_a_folder_of_somebody_else_is_refused(monkeypatch, tmp_path):
    monkeypatch.delenv(health.VARIABLE)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "qcore").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match=f"Set {health.VARIABLE}"):
        health.write(a_cluster())
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.live
def test_the_verb_loads_no_django():
    program = (
        "import sys; from qcore.cli import main; main(['health']);"
        "sys.exit('django' in sys.modules or 'pluggy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# -- what a cluster writes ---------------------------------------------------------------
def a_snapshot(**fields):
    words = ("cluster", "name", "queue", "host", "version", "broker")
    workers = [
        WorkerStatus(index=1, pid=7, state="starting"),
        WorkerStatus(index=2, pid=8, state="idle"),
    ]
    usual = dict.fromkeys(words, "x") | {
        "state": "running", "sentinel_pid": HERE, "dispatcher_pid": 2,
        "started": 5.0, "at": 6.0, "workers": workers,
    }  # fmt: skip
    return Snapshot(**(usual | fields))


@pytest.fixture
def published(monkeypatch):
    said = []
    monkeypatch.setattr(
        "qcore.cluster.publishing.publish", lambda *words: said.append(words)
    )
    return said


def test_a_cluster_writes_what_it_publishes(published):
    snapshot = a_snapshot(problem="away")
    Publishing()(snapshot, 5.0)
    assert published == [(snapshot, 5.0)]
    word = health.last_word(HERE)
    assert (word.workers, word.ready, word.problem) == (2, 1, "away")
    assert responds(HERE)


def test_observers_are_told_of_each_snapshot(published, monkeypatch):
    told = []
    monkeypatch.setattr(
        current.registry, "notify", lambda hook, **words: told.append((hook, words))
    )
    snapshot = a_snapshot()
    Publishing()(snapshot, 5.0)
    assert told == [("qcore_snapshot_taken", {"snapshot": snapshot})]


def test_the_file_is_written_though_the_status_cannot_be_published(monkeypatch):
    def fails(*words):
        raise OSError("no cache")

    monkeypatch.setattr("qcore.cluster.publishing.publish", fails)
    with pytest.raises(OSError, match="no cache"):
        Publishing()(a_snapshot(), 5.0)
    assert health.last_word(HERE) is not None


def test_a_folder_that_cannot_be_written_is_told_once(
    published, monkeypatch, tmp_path, caplog
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(health.VARIABLE, str(tmp_path / "file" / "run"))
    write = Publishing()
    write(a_snapshot(), 5.0)
    write(a_snapshot(), 5.0)
    assert len(published) == 2, "the status is published all the same"
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "qcore health cannot see this cluster" in caplog.text
    assert responds(HERE), "no news is no proof"
