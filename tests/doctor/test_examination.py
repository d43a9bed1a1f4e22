"""The doctor's sections: each fault is named with what to type, and ends no other."""

from __future__ import annotations

import time

import msgspec
import pytest
from django.db import OperationalError, connection

from qcore import Conf
from qcore.brokers.memory import MemoryBroker
from qcore.doctor import clusters, examination, measures, services
from qcore.doctor.report import Report, Section
from qcore.errors import BrokerUnavailable
from qcore.findings import error, ok, warning
from qcore.models import Quarantine, Schedule
from qcore.runtime import current
from qcore.signing import Signer, derive_key, fingerprint
from qcore.status import Snapshot, publish

CANARY = "hunter2-canary"
MEMORY = "qcore.brokers.memory.MemoryBroker"


@pytest.fixture(autouse=True)
def project(settings):
    settings.Q_CLUSTER = {"name": "shop", "broker_class": MEMORY}
    MemoryBroker._stats.clear()
    yield
    MemoryBroker._stats.clear()


def found(report: Report, name: str) -> list:
    (section,) = [section for section in report.sections if section.name == name]
    return list(section.findings)


def facts(report: Report, level: str) -> str:
    return "\n".join(
        f"{one.fact} {one.advice}"
        for section in report.sections
        for one in section.findings
        if one.level == level
    )


def running(**fields) -> Snapshot:
    now = time.time()
    usual = {
        "cluster": "0123456789abcdef" * 2,
        "name": "shop",
        "queue": "shop",
        "host": "web-1",
        "version": "2.0.0",
        "broker": "memory",
        "state": "running",
        "sentinel_pid": 1,
        "dispatcher_pid": 2,
        "started": now - 60,
        "at": now,
        "workers": [],
        "reads": 2,
    }
    return Snapshot(**{**usual, **fields})


# -- the whole ------------------------------------------------------------------------
def test_a_sound_project_is_healthy(db):
    report = examination.examine()
    assert report.healthy, facts(report, "error")
    assert [section.name for section in report.sections] == list(examination.SECTIONS)
    assert "no cluster is running" in facts(report, "warning")
    assert "Start one: qcore cluster" in facts(report, "warning")


def test_where_status_goes_nowhere_it_cannot_be_known(db, monkeypatch):
    """The cache of the tests is private, and here the broker carries no status either."""
    monkeypatch.setattr(MemoryBroker, "supports_stats", False)
    told = facts(examination.examine(), "warning")
    assert "whether a cluster is running cannot be known" in told
    assert "Set CACHES" in told
    assert "no cluster is running" not in told


@pytest.mark.parametrize(
    ("queue", "meant"), [("urgent", ""), ("shpo", " - did you mean 'shop'?")]
)
def test_clusters_that_all_work_elsewhere_are_told(db, settings, queue, meant):
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, "cluster_name": queue}
    publish(running())
    told = facts(examination.examine(), "warning")
    assert f"no running cluster works on the queue {queue!r}" in told
    assert f"of this process{meant}; they work on 'shop'" in told
    assert f"qcore cluster --name {queue}" in told


@pytest.mark.fault("J1")
def test_wrong_settings_are_all_that_is_told(settings):
    settings.Q_CLUSTER = {"worker": 1}
    report = examination.examine()
    assert not report.healthy
    assert [section.name for section in report.sections] == ["settings"]
    assert "did you mean 'workers'" in facts(report, "error")
    assert "(qcore.E001)" in facts(report, "error")


def test_what_stops_every_section_is_told_once(db, settings):
    settings.Q_CLUSTER = {"name": "shop", "broker_class": "no.such.Broker"}
    report = examination.examine()
    assert facts(report, "error").count("no.such.Broker") == 1
    assert "for the reason above" in found(report, "clusters")[-1].fact


def test_contradictions_are_warnings(db, settings):
    settings.Q_CLUSTER |= {"retry": 10, "timeout": 60}
    assert "(qcore.W001)" in facts(examination.examine(), "warning")


@pytest.mark.fault("D1")
def test_a_broker_that_is_away_ends_no_other_section(db, monkeypatch):
    def away(self):
        raise BrokerUnavailable(
            f"redis://shop:{CANARY}@localhost:6379 cannot be reached. Start it."
        )

    monkeypatch.setattr(MemoryBroker, "ping", away)
    report = examination.examine()
    assert "cannot be reached" in facts(report, "error")
    assert "there" in found(report, "databases")[-1].fact
    assert found(report, "clusters")


@pytest.mark.fault("I1")
def test_no_secret_is_shown_whoever_tells_it(db, monkeypatch, settings):
    settings.SECRET_KEY = CANARY
    settings.Q_CLUSTER |= {"signing_keys": [CANARY]}

    def indiscreet(self):
        raise ValueError(f"cannot log in at redis://shop:{CANARY}@localhost/0")

    def chatty(self):
        return [error(f"password={CANARY}", f"use https://u:{CANARY}@example.org")]

    for method in (indiscreet, chatty):
        monkeypatch.setattr(MemoryBroker, "diagnose", method)
        report = examination.examine()
        assert not report.healthy
        assert CANARY not in str(report.as_dict())


@pytest.mark.fault("I1")
def test_a_database_that_fails_is_told_without_secrets(db, monkeypatch):
    def gone(execute, sql, params, many, context):
        raise OperationalError(f"postgresql://shop:{CANARY}@db/shop: no route to host")

    with connection.execute_wrapper(gone):
        report = examination.examine()
    assert "no route to host" in found(report, "databases")[-1].fact
    assert CANARY not in str(report.as_dict())


@pytest.mark.fault("I1")
def test_a_redis_that_is_away_or_refuses_is_told_without_its_password(
    db, settings, redis_server
):
    pytest.importorskip("qcore_redis")
    wrong = f"redis://shop:{CANARY}@127.0.0.1:{redis_server.port}/0"
    for url in (wrong, f"redis://shop:{CANARY}@127.0.0.1:1/0"):
        settings.Q_CLUSTER = {"name": "shop", "redis": url}
        report = examination.examine()
        (fault,) = found(report, "broker")
        assert fault.level == "error"
        assert fault.advice
        assert CANARY not in str(report.as_dict())


# -- keys -----------------------------------------------------------------------------
def test_a_fingerprint_tells_keys_apart_and_not_the_key():
    keys = [derive_key(secret, "shop") for secret in ("one", "two")]
    prints = [fingerprint(key) for key in keys]
    assert len(set(prints)) == 2
    assert Signer(["one", "two"], "shop").fingerprints == prints
    assert Signer(["one"], "other").fingerprints != prints[:1]
    assert all(len(text) == 12 for text in prints)
    assert not any(text in key.hex() for text in prints for key in keys)


@pytest.mark.fault("J7")
def test_a_cluster_with_another_key_is_named(db, settings):
    settings.SECRET_KEY = "the cluster's key"
    publish(running())
    settings.SECRET_KEY = "the key of this process"
    report = examination.examine()
    (fault,) = [one for one in found(report, "clusters") if one.level == "error"]
    assert "signs with another key than the cluster 89abcdef on web-1" in fault.fact
    assert "SECRET_KEY_FALLBACKS" in fault.advice
    assert "the cluster's key" not in str(report.as_dict())
    settings.SECRET_KEY = "the cluster's key"
    assert examination.examine().healthy


@pytest.mark.fault("G2")
@pytest.mark.parametrize(
    ("theirs", "ours", "level"),
    [
        (["a"], ["a"], "ok"),
        (["b", "a"], ["a", "b"], "ok"),  # in the middle of a rotation
        (["b", "a"], ["a"], "warning"),  # what they send on is refused here
        (["b"], ["a"], "error"),
        (["b"], ["a", "b"], "error"),
        ([], ["a"], None),  # of an older version
    ],
)
def test_keys_are_compared_both_ways(theirs, ours, level):
    levels = [one.level for one in clusters.compare_keys("it", theirs, ours)]
    assert levels == ([level] if level else [])


# -- clusters -------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("fields", "level", "fact"),
    [
        ({"problem": "the broker is away"}, "error", "reports: the broker is away"),
        ({"version": "1.9.0"}, "warning", "runs qcore 1.9.0"),
        ({"reads": 1}, "warning", "is of release 2.0: it gives back tasks"),
        ({"at": +600}, "warning", "ahead of ours"),
        ({"at": -600}, "warning", "behind ours"),
    ],
)
def test_what_a_cluster_says_of_itself(db, fields, level, fact):
    if "at" in fields:  # in seconds from now
        fields = {"at": time.time() + fields["at"]}
    publish(running(**fields))
    assert fact in facts(examination.examine(), level)


def test_a_cluster_that_has_stopped_does_not_run(db):
    publish(running(state="stopped"))
    assert "no cluster is running" in facts(examination.examine(), "warning")


def test_quarantined_packages_are_counted(db):
    for reason in ("signature", "garbage"):
        Quarantine.objects.create(queue="shop", reason=reason, size=1, package=b"x")
    told = facts(examination.examine(), "warning")
    assert "2 packages are in quarantine" in told
    assert "UTC: garbage" in told


# -- services ---------------------------------------------------------------------------
def test_a_queue_tells_its_oldest(db):
    current.broker().enqueue(b"package")
    try:
        (queue,) = [
            one for one in found(examination.examine(), "broker") if "queue" in one.fact
        ]
    finally:
        current.broker().purge_queue()
    assert "1 waiting, 0 claimed, the oldest for" in queue.fact


def test_a_cache_that_keeps_nothing_is_an_error(db, settings, monkeypatch):
    monkeypatch.setattr(type(current.cache), "is_shared", True)
    monkeypatch.setattr(type(current.cache), "get", lambda self, key: None)
    (fault,) = [one for one in services.cache() if one.level == "error"]
    assert "does not keep its values" in fault.fact


def test_a_way_that_leads_nowhere_is_a_warning(db, monkeypatch):
    monkeypatch.setattr(MemoryBroker, "supports_stats", False)
    (told,) = [one for one in services.cache() if one.level == "warning"]
    assert "clusters cannot be seen" in told.fact


# -- measures -----------------------------------------------------------------------------
def test_round_trips_are_judged():
    assert measures.judge_round_trip("it", 0.001).level == "ok"
    assert measures.judge_round_trip("it", 0.2).level == "warning"
    assert measures.round_trip(lambda: time.sleep(0.01)) >= 0.01


@pytest.mark.fault("F9")
@pytest.mark.parametrize(
    ("ahead", "levels"),
    [(0, ["ok"]), (0.5, ["ok"]), (600, ["warning"]), (-600, ["warning"])],
)
def test_clocks_are_compared(ahead, levels):
    found = measures.judge_clock("it", lambda: time.time() + ahead)
    assert [one.level for one in found] == levels


def test_a_slow_answer_about_the_time_is_no_skew():
    def slow() -> float:
        time.sleep(0.1)
        return time.time() + measures.SKEW

    assert [one.level for one in measures.judge_clock("it", slow)] == ["ok"]
    assert measures.judge_clock("it", lambda: None) == []


# -- the report -----------------------------------------------------------------------------
@pytest.mark.parametrize("width", [10, 40, 80, 200])
def test_the_text_fits_the_terminal(width):
    from io import StringIO

    from qcore.monitor.text import Paint

    long = "words of a fact that go on and on " * 5
    report = Report(
        project="shop",
        at=0,
        sections=(Section("broker", (ok(long), warning(long, long), error("e", "a"))),),
    )
    lines = report.lines(width, Paint(StringIO()))
    assert max(map(len, lines)) <= max(width, 40)
    assert lines[-1] == "1 error, 1 warning"
    assert "  error    e" in lines
    assert not report.healthy


def test_a_snapshot_of_an_older_version_is_read():
    """Its key is unknown; see ``compare_keys``."""
    old = msgspec.to_builtins(running())
    del old["keys"], old["reads"]
    read = msgspec.convert(old, Snapshot)
    assert (read.keys, read.reads) == ([], 1)
    assert Conf.from_dict({}).guard_cycle > 0


def test_schedules_with_an_error_are_told(db):
    assert "no schedule has an error" in facts(examination.examine(), "ok")
    Schedule.objects.create(
        name="bad\x1b[1m", func="x.y", error="no\nqueue", paused=True
    )
    Schedule.objects.create(name="good", func="x.y")
    told = facts(examination.examine(), "warning")
    assert "1 schedule with an error, 1 of them paused" in told
    assert "the first is bad" in told
    assert "\x1b" not in told
