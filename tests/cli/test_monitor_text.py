"""The text of the monitor, from snapshots that no cluster had to make."""

from __future__ import annotations

import io

import msgspec
import pytest

from qcore.monitor import fit, memory, text
from qcore.monitor.look import EMPTY, UNSEEN, View, Watcher, absence
from qcore.monitor.plain import render
from qcore.monitor.text import Paint
from qcore.status import PAUSE, Progress, Snapshot, WorkerStatus

CLUSTER = Snapshot(
    cluster="0123456789abcdef0123456789abcdef",
    name="shop",
    queue="mail",
    host="web-1",
    version="2.0.0",
    broker="Redis 7.0.15",
    state="running",
    sentinel_pid=100,
    dispatcher_pid=101,
    started=1_000_000.0,
    at=1_008_040.0,
    workers=[
        WorkerStatus(
            index=1,
            pid=102,
            state="busy",
            func="shop.tasks.send_a_receipt_to_everybody_who_has_ever_bought_anything",
            seconds=83.4,
            rss=48_230,
            done=1204,
        ),
        WorkerStatus(index=2, pid=10_003, state="idle", rss=1_500_000),
    ],
    waiting=7,
    succeeded=12_345,
    failed=12,
    crashed=1,
    restarts=2,
)


def view(*clusters: Snapshot, **more) -> View:
    fields = {
        "at": 0.0,
        "project": "shop",
        "queue": "mail",
        "broker": "Redis 7.0.15",
        "route": "cache",
        "waiting": 1204,
        "claimed": 9,
        "oldest": 83.4,
        "clusters": list(clusters),
        "rates": {cluster.cluster: 3.21 for cluster in clusters},
    }
    return View(**{**fields, **more})


PLAIN = Paint(io.StringIO())

AT_80 = """\
queue mail: 1,204 waiting, 9 claimed, the oldest for 1 min 23 s

89abcdef on web-1: running, queue mail, up 2 h 14 min
  12,345 succeeded, 12 failed (1 crashed), 3.2 tasks/s, 7 in hand, 2 restarts
  [#####.....] 1 of 2 workers busy"""


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (
            {"done": 2, "total": 5, "note": "rows"},
            "40%, 2 of 5: rows - shop.tasks.export",
        ),
        ({"done": 1200}, "1,200 - shop.tasks.export"),
        ({"done": 0.25, "total": 0}, "0.25 of 0 - shop.tasks.export"),
    ],
)
def test_the_progress_of_a_task_stands_before_its_name(told, shown):
    worker = msgspec.structs.replace(
        CLUSTER.workers[0], func="shop.tasks.export", progress=Progress(**told)
    )
    cluster = msgspec.structs.replace(CLUSTER, workers=[worker])
    assert any(shown in line for line in render(view(cluster), 120, PLAIN))


def test_eighty_columns_hold_everything():
    lines = render(view(CLUSTER), 80, PLAIN)
    assert lines[0].startswith("qcore  shop  Redis 7.0.15  ")
    assert lines[1:6] == AT_80.splitlines()
    heading, busy, idle = lines[6:]
    assert heading.split() == ["#", "PID", "STATE", "TASK", "FOR", "MEMORY", "DONE"]
    assert busy.split()[:3] == ["1", "102", "busy"]
    assert busy.endswith("1 min 23 s  47.1 MiB  1,204")
    assert "shop.tasks.send_a_rec" in busy
    assert idle.split() == ["2", "10003", "idle", "-", "-", "1.43", "GiB", "0"]
    assert len({len(heading), len(busy), len(idle)}) == 1


@pytest.mark.parametrize("width", [20, 40, 60, 80, 160])
def test_no_line_is_wider_than_the_terminal(width):
    lines = render(view(CLUSTER), width, PLAIN)
    assert max(map(len, lines)) <= width
    assert len(lines) == 9


@pytest.mark.parametrize(
    ("wanted", "room", "given"),
    [
        ([2, 3], 10, [2, 3]),
        ([40], 10, [10]),
        ([2, 40], 10, [2, 8]),
        ([40, 40, 3], 13, [5, 5, 3]),
        ([40, 40], 0, [1, 1]),
        ([], 7, []),
    ],
)
def test_small_clusters_are_shown_whole_before_large_ones(wanted, room, given):
    assert fit.shares(wanted, room) == given


def test_where_rows_are_few_the_oldest_tasks_are_shown_and_the_rest_is_counted():
    crowd = [
        WorkerStatus(index=n, pid=n, state="busy" if n % 2 else "idle", seconds=n)
        for n in range(1, 21)
    ]
    large = msgspec.structs.replace(CLUSTER, workers=crowd)
    lines = render(view(large), 80, PLAIN, 14)
    assert len(lines) == 14
    assert [line.split()[0] for line in lines[7:13]] == [
        "9",
        "11",
        "13",
        "15",
        "17",
        "19",
    ]
    assert lines[13] == "  and 14 more workers, 10 of them idle"
    assert len(render(view(large), 80, PLAIN, 27)) == 27
    assert "more" not in "\n".join(render(view(large), 80, PLAIN, 27))


def test_a_wide_terminal_shows_the_whole_name():
    shown = "\n".join(render(view(CLUSTER), 160, PLAIN))
    assert CLUSTER.workers[0].func in shown


def test_the_empty_state_says_what_to_type():
    shown = "\n".join(render(view(), 80, PLAIN))
    assert "No cluster is running. Start one: qcore cluster" in shown


def test_where_status_cannot_be_seen_it_does_not_say_that_nothing_runs():
    shown = "\n".join(render(view(route="none"), 200, PLAIN))
    assert UNSEEN in shown
    assert "No cluster" not in shown


def test_a_problem_is_shown_in_place_of_the_rest():
    shown = render(view(problem="Redis at localhost is down"), 80, PLAIN)
    assert shown[-1] == "Redis at localhost is down"


def test_a_problem_of_a_cluster_is_shown_and_makes_the_view_unhealthy():
    ill = msgspec.structs.replace(CLUSTER, problem="the database is full")
    assert "  problem: the database is full" in render(view(ill), 80, PLAIN)
    assert view(CLUSTER).healthy
    assert not view(ill).healthy


def test_a_cluster_that_has_stopped_is_none_that_runs():
    stopped = msgspec.structs.replace(CLUSTER, state="stopped")
    assert view(stopped).running == []
    assert not view(stopped).healthy


def test_a_broker_that_cannot_count_says_so():
    shown = render(view(CLUSTER, waiting=None, claimed=None, oldest=None), 80, PLAIN)
    assert shown[1] == "queue mail: this broker cannot count its packages"


def test_rates_are_reckoned_over_the_window():
    watcher = Watcher()

    def rate(at: float, done: int) -> float:
        shot = msgspec.structs.replace(CLUSTER, at=at, succeeded=done, failed=0)
        return watcher._rates([shot])[CLUSTER.cluster]

    start = CLUSTER.started
    assert rate(start + 100, 1000) == pytest.approx(10)  # since the start
    for second in range(1, 31):
        last = rate(start + 100 + second, 1000 + 50 * second)
    assert last == pytest.approx(50)  # what was before has left the window
    assert rate(start + 130, 2500) == pytest.approx(50)  # the same look again


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_colours_are_for_terminals_that_want_them(environment, coloured, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    shown = "\n".join(render(view(CLUSTER), 80, Paint(Terminal())))
    assert ("\x1b[" in shown) == coloured
    assert "\x1b[" not in "\n".join(render(view(CLUSTER), 80, Paint(io.StringIO())))


def test_boxes_hold_the_same_facts():
    rich = pytest.importorskip("rich.console")
    from qcore.monitor.fancy import boxes

    out = io.StringIO()
    console = rich.Console(file=out, width=80)
    console.print(boxes(view(CLUSTER)))
    shown = out.getvalue()
    assert "89abcdef on web-1: running" in shown
    assert "12,345 succeeded, 12 failed (1 crashed)" in shown
    assert "1 of 2 workers busy" in shown
    assert "47.1 MiB" in shown
    console.print(boxes(view()))
    assert "Start one: qcore cluster" in out.getvalue()


def test_square_brackets_in_a_name_are_no_markup():
    rich = pytest.importorskip("rich.console")
    from qcore.monitor.fancy import boxes

    worker = msgspec.structs.replace(CLUSTER.workers[0], func="a[red]b")
    cluster = msgspec.structs.replace(CLUSTER, workers=[worker], host="[bold]h")
    out = io.StringIO()
    rich.Console(file=out, width=80).print(boxes(view(cluster)))
    assert "a[red]b" in out.getvalue()
    assert "[bold]h" in out.getvalue()


# -- memory -----------------------------------------------------------------------
def test_memory_of_this_process_is_told():
    import os

    rss, pss = memory.usage(os.getpid())
    assert rss is not None
    assert rss > 1000
    assert pss is None or 0 < pss <= rss


def test_memory_of_a_process_that_has_ended_is_not_told():
    assert memory.usage(2**22 + 1) == (None, None)  # above pid_max


def test_processes_of_other_hosts_are_known_by_what_workers_reported():
    found = memory.processes(CLUSTER)
    assert [process.role for process in found] == [
        "sentinel",
        "dispatcher",
        "worker 1",
        "worker 2",
    ]
    assert [process.rss for process in found] == [None, None, 48_230, 1_500_000]
    lines = memory.render([CLUSTER], 80, PLAIN)
    assert lines[-1].split()[:3] == ["total", "1.48", "GiB"]
    assert len({len(line.rstrip()) for line in lines[4:6]}) == 1


def test_memory_without_a_cluster_says_what_to_type(monkeypatch):
    monkeypatch.setattr(memory, "route", lambda: "broker")
    assert memory.render([], 80, PLAIN) == [EMPTY]
    monkeypatch.setattr(memory, "route", lambda: "none")
    assert memory.render([], 200, PLAIN) == [UNSEEN]


@pytest.mark.parametrize(
    ("way", "told"), [("cache", EMPTY), ("broker", EMPTY), ("none", UNSEEN)]
)
def test_who_cannot_see_does_not_say_that_nobody_is_there(way, told):
    assert absence(way) == told


# -- numbers ----------------------------------------------------------------------
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (0, "0.0 ms"),
        (0.0042, "4.2 ms"),
        (0.35, "350 ms"),
        (12.34, "12.3 s"),
        (60, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_seconds_have_their_units(value, shown):
    assert text.seconds(value) == shown


@pytest.mark.parametrize(
    ("kilobytes", "shown"),
    [(None, "-"), (512, "512 KiB"), (2048, "2.0 MiB"), (3 * 1024**2, "3.00 GiB")],
)
def test_memory_has_its_units(kilobytes, shown):
    assert text.size(kilobytes) == shown


def test_bars_are_full_at_the_end_and_not_over_it():
    assert text.bar(0, 4, 4) == "[....]"
    assert text.bar(1, 4, 4) == "[#...]"
    assert text.bar(9, 4, 4) == "[####]"
    assert text.bar(0, 0, 4) == "[....]"


@pytest.mark.parametrize(
    ("seconds_later", "uptime"),
    [
        (2.5, "2 h 14 min"),
        (100.0, "2 h 14 min"),  # no further than a snapshot can be old
        (-100.0, "2 h 14 min"),  # our clock is behind theirs
    ],
)
def test_the_uptime_goes_on_between_two_snapshots(seconds_later, uptime):
    now = CLUSTER.at + seconds_later
    assert CLUSTER.uptime == 8040.0
    assert CLUSTER.uptime_at(now) == 8040.0 + min(max(seconds_later, 0.0), PAUSE)
    lines = render(view(CLUSTER, at=now), 80, Paint(io.StringIO()))
    assert any(f"up {uptime}" in line for line in lines)
