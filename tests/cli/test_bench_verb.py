from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from support.cli_project import SETTINGS, clean_environment, write_project
from support.json_schemas import validate

from qcore.bench import ground, sending
from qcore.bench.report import Report
from qcore.bench.runner import PARTS
from qcore.bench.sending import Sending
from qcore.bench.working import Drain, Latency, Memory
from qcore.cli.bench import _PARTS
from qcore.errors import ConfigError
from qcore.processes import processes, tree
from qcore.runtime import current

WORDS = [sys.executable, "-m", "qcore", "bench"]


def left(folder: Path) -> dict[str, list[str]]:
    """Return the queues of the tasks that wait, and those of stored results."""
    with closing(sqlite3.connect(folder / "db.sqlite3")) as database:
        waiting = database.execute("select key from qcore_orm_ormq").fetchall()
        stored = database.execute("select cluster from qcore_task").fetchall()
    return {"waiting": [k for (k,) in waiting], "stored": [c for (c,) in stored]}


@pytest.fixture
def used_project(project):
    """A project with a task that waits, and nobody to run it."""
    with closing(sqlite3.connect(project / "db.sqlite3")) as database, database:
        database.execute(
            "insert into qcore_orm_ormq (key, payload, visible, claimed, attempts)"
            " values ('shop', x'00', 0, 0, 0)"
        )
    return project, left(project)


@pytest.fixture
def copied(project, tmp_path):
    """Make a project with other settings and the same tables, empty."""

    def write(settings: str) -> Path:
        write_project(tmp_path, settings)
        shutil.copy(project / "db.sqlite3", tmp_path)
        with closing(sqlite3.connect(tmp_path / "db.sqlite3")) as database, database:
            database.execute("delete from qcore_orm_ormq")
        return tmp_path

    return write


@pytest.mark.once
def test_everything_is_measured_and_the_project_is_as_before(qcore, used_project):
    project, before = used_project
    done = qcore(project, "bench", "--tasks", "40", "--workers", "1", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    validate(document)
    assert document["workers"] == 1
    assert not document["unfinished"]
    assert "save_limit is 250" in document["notes"][0]
    assert document["start_seconds"] > 0
    latency, drain = document["latency"], document["drain"]
    assert latency["tasks"] == 40
    assert (
        0 < latency["p50_seconds"] <= latency["p95_seconds"] <= latency["p99_seconds"]
    )
    assert document["enqueue"]["tasks"] == document["batch"]["tasks"] == 40
    # those two, and one for each that has connected before it was timed
    assert drain["tasks"] == drain["done"] == drain["stored"] == 82
    assert drain["stored_seconds"] >= drain["seconds"]
    assert drain["memory"]["kb"] > 10_000
    assert left(project) == before


@pytest.mark.once
def test_interrupted_it_leaves_nothing(used_project):
    project, before = used_project
    bench = subprocess.Popen(
        [*WORDS, "--only", "latency", "--tasks", "100000"],
        cwd=project,
        env=clean_environment(TMPDIR=str(project)),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert bench.stderr is not None
    with bench:
        try:
            while "latency" not in (line := bench.stderr.readline()):
                assert line, "it has ended too early"
            family = {process.pid for process in tree([bench.pid])} - {bench.pid}
            assert len(family) >= 3  # sentinel, dispatcher and workers
            bench.send_signal(signal.SIGINT)
            # a busy machine may need long, and the limit of the test is the end of it
            assert bench.wait() == 130
        finally:
            bench.kill()
    assert not family & {p.pid for p in processes() if p.lives}
    assert left(project) == before
    assert not list(project.glob("qcore-bench-*"))


def test_a_task_that_was_sent_is_noted_before_an_interruption(monkeypatch):
    """Or nobody would know whose result to remove."""

    def send(*words, **options):
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        return "its id"

    monkeypatch.setattr(sending, "async_task", send)
    sent = sending.Sent({})
    with pytest.raises(KeyboardInterrupt):
        sent.one()
    assert sent.ids == ["its id"]


@pytest.mark.once
def test_a_cluster_that_ends_is_told_with_its_log_and_tidied_up(qcore, copied):
    broken = "if 'QCORE_BENCH_CLUSTER' in os.environ: raise RuntimeError('not here')"
    folder = copied(f"{SETTINGS}\n{broken}\n")
    done = qcore(folder, "bench", "--only", "drain", "--tasks", "5")
    assert done.returncode == 1
    assert "the cluster has ended with exit code 1" in done.stderr
    assert "RuntimeError: not here" in done.stderr
    assert left(folder) == {"waiting": [], "stored": []}


REDIS = SETTINGS.replace('"orm": "default"', '"redis": "{url}"')


@pytest.mark.once
def test_on_redis_its_queue_is_gone_afterwards(qcore, copied, redis_server):
    pytest.importorskip("qcore_redis")
    import redis

    url = redis_server.url(11)
    folder = copied(REDIS.replace("{url}", url))
    words = ["--only", "enqueue", "--only", "drain", "--tasks", "30"]
    done = qcore(folder, "bench", *words)
    assert done.returncode == 0, done.stderr
    assert "drain, results stored" in done.stdout
    assert "start to first task" not in done.stdout
    with redis.Redis.from_url(url) as client:
        assert not [key for key in client.scan_iter() if ground.PREFIX.encode() in key]
    assert left(folder)["stored"] == []


def test_a_broker_that_is_down_is_one_line_and_75(qcore, copied):
    pytest.importorskip("qcore_redis")
    folder = copied(REDIS.replace("{url}", "redis://127.0.0.1:9/0"))
    done = qcore(folder, "bench")
    assert done.returncode == 75
    assert done.stdout == ""
    assert done.stderr.startswith("qcore bench: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("own", "told"),
    [
        ({"broker_class": "qcore.brokers.memory.MemoryBroker"}, "lives in one process"),
        ({"orm": "default", "cached": True}, "private to a process"),
    ],
)
def test_what_a_cluster_could_not_share_is_refused(settings, own, told):
    pytest.importorskip("qcore_orm")
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    }
    settings.Q_CLUSTER = own
    with pytest.raises(ConfigError, match=told), ground.measured("bench", None):
        pass
    assert own == settings.Q_CLUSTER


def test_the_settings_are_the_projects_but_for_what_a_bench_needs(
    settings, monkeypatch
):
    own = {
        "name": "shop",
        "orm": "default",
        "sync": True,
        "allowed_tasks": ["shop"],
        "timeout": 30,
        "ALT_CLUSTERS": {"slow": {"timeout": 90, "name": "ignored"}},
    }
    settings.Q_CLUSTER = own
    monkeypatch.setenv("Q_CLUSTER_NAME", "slow")
    with ground.measured("bench", 3) as chosen:
        conf = current.conf
        assert (conf.queue, conf.name, conf.workers) == ("bench", "shop", 3)
        assert conf.timeout == 90
        assert (conf.sync, conf.scheduler, conf.save_limit) == (False, False, 0)
        assert conf.allowed_tasks == ("shop", "qcore.bench.tasks")
        assert chosen.chosen == "slow"
        assert [note.split()[0] for note in chosen.notes] == ["sync", "save_limit"]
    assert own == settings.Q_CLUSTER
    assert os.environ["Q_CLUSTER_NAME"] == "slow"
    assert current.conf.queue == "slow"


def test_the_table_keeps_to_the_width():
    report = Report(
        broker="Redis 7.0.15",
        results="PostgreSQL ('default')",
        workers=1,
        processors=2,
        notes=["save_limit is 250: " + "a long sentence " * 8],
        start=0.8,
        idle=Memory("pss", 70_000),
        latency=Latency(200, 0.001, 0.002, 0.003),
        enqueue=Sending(100, 1.0, 1),
        batch=Sending(2000, 0.5, 1000),
        drain=Drain(
            tasks=100,
            done=100,
            stored=100,
            seconds=0.1,
            stored_seconds=0.2,
            cpu=0.1,
            memory=Memory("rss", 80_000),
        ),
        unfinished=["drain: too slow"],
    )
    lines = report.render(60)
    assert max(map(len, lines)) <= 60
    assert lines[0] == "Redis 7.0.15, 1 worker on 2 processors; results in"
    text = "\n".join(lines)
    assert "500 tasks/s" in text  # 100 tasks in 0.2 s, storing included
    assert "4,000 tasks/s" in text
    assert "68.4 MiB  PSS" in text
    validate(report.as_dict())


def test_the_parts_are_the_same_on_the_command_line_and_behind_it():
    assert _PARTS == PARTS
