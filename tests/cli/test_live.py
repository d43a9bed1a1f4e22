"""The verbs that read, while a cluster runs; and the cluster's own verb."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from support.cli_project import SETTINGS, clean_environment, write_project
from support.json_schemas import validate
from support.terminal import Terminal

from qcore import __version__
from qcore.status import Snapshot, publish, snapshots
from qcore.testing.speed import stretched

pytestmark = pytest.mark.once

WITHOUT_RICH = (
    "import sys; sys.modules['rich'] = None; from qcore.cli import main;"
    "sys.exit(main(['monitor', '--interval', '0.2']))"
)


def test_monitor_shows_every_worker(qcore, live_project):
    done = qcore(live_project, "monitor", "--run-once")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "queue shop: 0 waiting, 0 claimed" in done.stdout
    assert done.stdout.count("idle") == 2
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_monitor_as_json(qcore, live_project):
    document = json.loads(qcore(live_project, "monitor", "--json").stdout)
    validate(document)
    assert document["schema"] == "qcore.monitor/1"
    assert document["queue"] == {
        "name": "shop",
        "waiting": 0,
        "claimed": 0,
        "oldest_seconds": None,
    }
    assert document["status_route"] == "broker"  # no cache is set
    (cluster,) = document["clusters"]
    assert cluster["schema"] == "qcore.status/1"
    assert cluster["state"] == "running"
    assert [worker["index"] for worker in cluster["workers"]] == [1, 2]
    if sys.platform == "linux":  # known before a worker has run its first task
        assert all(worker["rss"] > 1000 for worker in cluster["workers"])
    assert cluster["rate"] == 0


def test_info_as_json_and_as_text(qcore, live_project):
    done = qcore(live_project, "info", "--json")
    assert done.returncode == 0
    document = json.loads(done.stdout)
    validate(document)
    assert document["schema"] == "qcore.info/1"
    assert document["version"] == __version__
    assert document["totals"]["clusters"] == 1
    assert document["totals"]["workers"] == 2
    assert set(document["stored"]) == {
        "succeeded",
        "failed",
        "schedules",
        "quarantined",
        "last_24_hours",
    }
    shown = qcore(live_project, "info").stdout
    assert "1 cluster, 2 workers, 0 restarts" in shown


def test_a_probe_sees_the_cluster(qcore, live_project):
    run = {"QCORE_RUN_DIR": str(live_project / "run")}
    done = qcore(live_project, "health", "--ready", **run)
    assert done.returncode == 0, done.stderr
    assert "queue shop" in done.stdout
    document = json.loads(qcore(live_project, "health", "--json", **run).stdout)
    validate(document)
    (cluster,) = document["clusters"]
    assert (cluster["ready"], cluster["workers"]) == (2, 2)
    elsewhere = {"QCORE_RUN_DIR": str(live_project / "elsewhere")}
    assert qcore(live_project, "health", **elsewhere).returncode == 3


def test_systemd_is_told_of_a_whole_life(project, tmp_path):
    for name in ("manage.py", "shop_settings.py", "db.sqlite3"):
        shutil.copy(project / name, tmp_path)  # no cluster of the other tests
    project = tmp_path
    env = {"QCORE_RUN_DIR": str(project / "run"), "WATCHDOG_USEC": "1000000"}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(project / "notify"))
        systemd.settimeout(stretched(60))
        process = subprocess.Popen(
            [sys.executable, "-m", "qcore", "cluster"],
            cwd=project,
            env=clean_environment(NOTIFY_SOCKET=str(project / "notify"), **env),
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        try:
            told = {(words := systemd.recv(4096))}
            while not words.startswith(b"READY=1"):
                told.add(words := systemd.recv(4096))
            assert words.startswith(b"READY=1\nSTATUS=queue shop, 2 of 2 workers\n")
            while b"WATCHDOG=1" not in told:
                told.add(systemd.recv(4096))
            process.send_signal(signal.SIGTERM)
            while b"STOPPING=1" not in told:
                told.add(systemd.recv(4096))
            assert process.wait(stretched(60)) == 0
        finally:
            process.kill()
            process.wait()


def test_info_ids(qcore, live_project):
    (cluster,) = json.loads(qcore(live_project, "info", "--json").stdout)["clusters"]
    assert qcore(live_project, "info", "--ids").stdout == f"{cluster['cluster']}\n"
    listed = json.loads(qcore(live_project, "info", "--ids", "--json").stdout)
    assert listed == {"schema": "qcore.info/1", "ids": [cluster["cluster"]]}


def test_memory_of_every_process(qcore, live_project):
    document = json.loads(qcore(live_project, "memory", "--json").stdout)
    validate(document)
    assert document["schema"] == "qcore.memory/1"
    assert document["unit"] == "kB of 1024 bytes"
    (cluster,) = document["clusters"]
    roles = [process["role"] for process in cluster["processes"]]
    assert roles == ["sentinel", "dispatcher", "worker 1", "worker 2"]
    assert all(process["rss"] > 1000 for process in cluster["processes"])
    shown = qcore(live_project, "memory").stdout
    assert "total" in shown
    assert "MiB" in shown


@pytest.mark.fault("J7")
def test_the_doctor_knows_a_cluster_with_another_key(qcore, live_project):
    """A web process whose SECRET_KEY differs learns it, and neither key is shown."""
    agreed = qcore(live_project, "doctor")
    assert agreed.returncode == 0, agreed.stdout + agreed.stderr
    assert "signs with the same key as this process" in " ".join(agreed.stdout.split())
    other = "from shop_settings import *\nSECRET_KEY = 'hunter2-canary'\n"
    (live_project / "other_settings.py").write_text(other)
    done = qcore(live_project, "doctor", "--json", "--settings", "other_settings")
    assert done.returncode == 3
    document = json.loads(done.stdout)
    validate(document)
    (told,) = [s["findings"] for s in document["sections"] if s["name"] == "clusters"]
    (fault,) = [one for one in told if one["level"] == "error"]
    assert "this process signs with another key than the cluster" in fault["fact"]
    assert "SECRET_KEY_FALLBACKS" in fault["advice"]
    assert "hunter2-canary" not in done.stdout + done.stderr
    assert "of no use to anybody" not in done.stdout


def test_djangos_commands_say_the_same(live_project):
    words = [sys.executable, "manage.py", "qinfo", "--json"]
    done = subprocess.run(
        words,
        cwd=live_project,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["totals"]["clusters"] == 1


@pytest.mark.parametrize("boxes", [True, False], ids=["boxes", "plain"])
def test_the_live_view_fits_a_terminal_and_ends_with_q(live_project, boxes):
    words = [sys.executable, "-c", WITHOUT_RICH]
    if boxes:
        pytest.importorskip("rich")
        words = [sys.executable, "-m", "qcore", "monitor", "--interval", "0.2"]
    with Terminal(words, live_project, clean_environment()) as terminal:
        terminal.wait_for("of 2 workers busy")
        terminal.wait_for("q quits")
        terminal.type("q")
        assert terminal.end() == 0
        assert ("╭" in terminal.drawn) == boxes
        assert terminal.drawn.startswith("\x1b[?1049h")
        assert terminal.drawn.endswith("\x1b[?25h\x1b[?1049l")
        assert terminal.settings == terminal.before


CROWD = """
import django, time, sys
django.setup()
from qcore.status import Snapshot, WorkerStatus, publish
workers = [
    WorkerStatus(index=n, pid=1000 + n, state="busy", task_id="0" * 32, rss=50_000,
                 func="shop.tasks.a_function_with_rather_a_long_name", seconds=n * 7.5)
    for n in range(1, 41)
]
now = time.time()
publish(Snapshot(
    cluster="0" * 24 + "deadbeef", name="shop", queue="shop", host="web-1",
    version="2", broker="SQLite", state="running", sentinel_pid=1, dispatcher_pid=2,
    started=now - 5000, at=now, workers=workers))
"""


@pytest.mark.parametrize("size", [(24, 80), (50, 160), (10, 40)], ids=str)
@pytest.mark.parametrize("boxes", [True, False], ids=["boxes", "plain"])
def test_forty_workers_in_a_terminal(asleep, boxes, size):
    """What fits is shown, with every column; the last row says how to leave."""
    write_project(asleep, SETTINGS + "\nQ_CLUSTER['guard_cycle'] = 30\n")
    settings = clean_environment(DJANGO_SETTINGS_MODULE="shop_settings")
    publish = [sys.executable, "-c", CROWD]
    subprocess.run(publish, cwd=asleep, env=settings, check=True)
    words = [sys.executable, "-c", WITHOUT_RICH]
    if boxes:
        pytest.importorskip("rich")
        words = [sys.executable, "-m", "qcore", "monitor", "--interval", "0.2"]
    with Terminal(words, asleep, clean_environment(), size) as terminal:
        terminal.wait_for("q quits")
        terminal.wait_for("deadbeef")
        rows = terminal.rows("q quits")
        terminal.type("q")
        assert terminal.end() == 0
    shown = "\n".join(rows)
    assert rows[0].startswith("qcore  shop  SQLite")
    assert [row for row in rows if row][-1] == "q quits"
    assert "queue shop: 0 waiting, 0 claimed" in rows[1]
    if size >= (24, 80):
        longest = next(row for row in rows if " 1040 " in row)
        assert "busy" in longest
        assert "shop.tasks.a_fun" in longest
        assert "5 min 0 s" in longest
        assert "48.8 MiB" in longest
        assert shown.count("busy") >= size[0] - 12
        hidden = 40 - sum(" 48.8 MiB " in row for row in rows)
        assert not hidden or f"and {hidden} more workers, 0 of them idle" in shown


@pytest.mark.django_db
def test_a_cluster_that_has_stopped_is_not_one_that_runs():
    pytest.importorskip("qcore_orm")
    now = time.time()
    last_words = Snapshot(
        cluster="0" * 32, name="tests", queue="tests", host="web-1", version="2",
        broker="SQLite", state="stopped", sentinel_pid=1, dispatcher_pid=2,
        started=now - 9, at=now, workers=[],
    )  # fmt: skip
    publish(last_words)
    assert [one.cluster for one in snapshots()] == ["0" * 32]
    for words in (["qmemory"], ["qinfo", "--ids"], ["qinfo"]):
        out = StringIO()
        call_command(*words, stdout=out)
        assert "0" * 8 not in out.getvalue()


@pytest.mark.parametrize("end", ["ctrl-c", "sigterm"])
def test_the_live_view_gives_the_terminal_back(live_project, end):
    words = [sys.executable, "-c", WITHOUT_RICH]
    with Terminal(words, live_project, clean_environment()) as terminal:
        terminal.wait_for("q quits")
        if end == "sigterm":
            terminal.terminate()
        else:
            terminal.process.send_signal(2)
        assert terminal.end() == 0
        assert terminal.drawn.endswith("\x1b[?25h\x1b[?1049l")
        assert terminal.settings == terminal.before


def test_the_live_view_of_memory(live_project):
    words = [sys.executable, "-m", "qcore", "memory", "--interval", "0.2"]
    with Terminal(words, live_project, clean_environment()) as terminal:
        terminal.wait_for("total")
        terminal.type("q")
        assert terminal.end() == 0


# -- without a cluster --------------------------------------------------------------
@pytest.fixture
def asleep(tmp_path: Path) -> Path:
    """A migrated project in which nothing runs."""
    pytest.importorskip("qcore_orm")
    write_project(tmp_path)
    words = [sys.executable, "manage.py", "migrate", "-v0"]
    subprocess.run(words, cwd=tmp_path, env=clean_environment(), check=True)
    return tmp_path


@pytest.mark.parametrize("verb", ["monitor", "memory", "info"])
def test_where_nothing_runs_it_says_so_with_exit_code_3(qcore, asleep, verb):
    done = qcore(asleep, verb)
    assert done.returncode == 3
    assert "No cluster is running. Start one: qcore cluster" in done.stdout


def test_a_shell_sees_the_exit_code_of_djangos_command(asleep):
    words = [sys.executable, "manage.py", "qmonitor"]
    done = subprocess.run(
        words, cwd=asleep, env=clean_environment(), capture_output=True, check=False
    )
    assert done.returncode == 3
    assert b"CommandError" not in done.stderr


def test_a_cluster_runs_once_and_says_what_it_is(qcore, asleep):
    done = qcore(asleep, "cluster", "--run-once")
    assert done.returncode == 0, done.stderr
    banner = done.stdout.splitlines()
    assert len(banner) == 8
    assert banner[0] == f"qcore {__version__}, cluster of project shop"
    labels = [line.split()[0] for line in banner[1:]]
    assert labels == [
        "broker",
        "queue",
        "workers",
        "tasks",
        "schedules",
        "plugins",
        "status",
    ]
    assert "lease 60 s, renewed while they run" in done.stdout
    assert "timeout 30 s, killed 5 s later" in done.stdout


def test_a_name_chooses_the_queue_and_its_settings(qcore, asleep):
    alternatives = "\nQ_CLUSTER['ALT_CLUSTERS'] = {'mail': {'workers': 1}}\n"
    write_project(asleep, SETTINGS + alternatives)
    done = qcore(asleep, "cluster", "--run-once", "--name", "mail")
    assert done.returncode == 0, done.stderr
    assert "queue      mail" in done.stdout
    assert "workers    1," in done.stdout


def test_a_cluster_prints_warnings_once_and_runs(qcore, asleep):
    write_project(asleep, SETTINGS + "\nQ_CLUSTER['retry'] = 10\n")
    done = qcore(asleep, "cluster", "--run-once")
    assert done.returncode == 0
    assert done.stderr.count("(qcore.W001)") == 1
    assert "lease 10 s, not renewed" in done.stdout


def test_a_silenced_warning_is_not_printed(qcore, asleep):
    silence = "\nQ_CLUSTER['retry'] = 10\nSILENCED_SYSTEM_CHECKS = ['qcore.W001']\n"
    write_project(asleep, SETTINGS + silence)
    assert "qcore.W001" not in qcore(asleep, "cluster", "--run-once").stderr


def test_a_cluster_does_not_run_with_an_error(qcore, asleep):
    write_project(asleep, SETTINGS + "\nQ_CLUSTER['sqs'] = {}\n")
    done = qcore(asleep, "cluster")
    assert done.returncode == 2
    assert "error (qcore.E00" in done.stderr
    assert done.stdout == ""


# -- call_command -------------------------------------------------------------------
@pytest.mark.django_db
@pytest.mark.parametrize("command", ["qinfo", "qmonitor", "qmemory"])
def test_call_command_writes_json_to_its_stdout(command):
    pytest.importorskip("qcore_orm")
    out = StringIO()
    call_command(command, "--json", stdout=out)
    assert json.loads(out.getvalue())["schema"] == f"qcore.{command[1:]}/1"


@pytest.mark.django_db
def test_call_command_writes_text_without_empty_lines():
    pytest.importorskip("qcore_orm")
    out = StringIO()
    call_command("qinfo", stdout=out)
    assert out.getvalue().startswith(f"qcore {__version__}, project tests\n  broker")
    assert "\n\n" not in out.getvalue()


@pytest.mark.fault("I5")
def test_the_config_is_complete_and_masked(settings):
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, "signing_keys": ["hunter2"]}
    out = StringIO()
    call_command("qinfo", "--config", stdout=out)
    shown = out.getvalue()
    assert " * workers " in shown
    assert "   recycle " in shown
    assert " * signing_keys " in shown
    assert "  1  (unset: as many as there is room for)" in shown
    assert "hunter2" not in shown
    out = StringIO()
    call_command("qinfo", "--config", "--json", stdout=out)
    document = json.loads(out.getvalue())
    assert document["config"]["signing_keys"] == "***"
    assert "signing_keys" in document["explicit"]
    assert document["unset"]["bulk"] == "as many as there is room for"


def test_what_the_project_sets_is_in_force_to_the_letter(settings):
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, "bulk": 1, "queue_limit": 7}
    out = StringIO()
    call_command("qinfo", "--config", stdout=out)
    lines = [" ".join(line.split()) for line in out.getvalue().splitlines()]
    assert "* bulk 1" in lines
    assert "* queue_limit 7" in lines


def test_wrong_settings_are_a_command_error(settings):
    settings.Q_CLUSTER = {"worker": 1}
    with pytest.raises(CommandError, match="did you mean 'workers'") as caught:
        call_command("qinfo", "--config", stdout=(out := StringIO()))
    assert caught.value.returncode == 2
    # what the hint of the check qcore.E001 promises
    lines = [" ".join(line.split()) for line in out.getvalue().splitlines()]
    assert "timeout a number of seconds > 0 or None; default: None" in lines
    assert "sqs a dict or None; default: None" in lines  # of a plugin
