"""The comparison with other queues works: its command line, a turn, and its arithmetic."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from qcore.bench import writer

BENCH = Path(__file__).parent / "bench" / "bench.py"
PEERS = sorted(
    path.stem.replace("_", "-") for path in BENCH.parent.glob("peers/[a-z]*.py")
)


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BENCH), *words],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.fixture
def table(monkeypatch):
    """The module of tables, whose neighbours are found beside it."""
    monkeypatch.syspath_prepend(str(BENCH.parent))
    before = set(sys.modules)
    yield importlib.import_module("table")
    for name in set(sys.modules) - before:
        if str(BENCH.parent) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.mark.once
def test_help_names_every_peer_and_measurement_without_any_of_them_installed():
    shown = bench("--help")
    assert shown.returncode == 0, shown.stderr
    lines = [line.split() for line in shown.stdout.splitlines()]
    first = {words[0] for words in lines if words}
    assert len(PEERS) == 12
    assert first > set(PEERS)
    assert first > {
        "drain",
        "batch",
        "latency",
        "idle",
        "waiting",
        "schedules",
        "killed",
    }


@pytest.mark.once
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--peers", "nobody"], "unknown peer 'nobody'"),
        (["--peers", "saq", "--store", "sqlite"], "saq has no queue on sqlite"),
        (["--peers", "qcore:faster"], "qcore has no variant 'faster'"),
        (["--measure", "everything"], "unknown 'everything'"),
    ],
)
def test_what_is_not_there_is_told(words, told):
    refused = bench(*words)
    assert refused.returncode == 2
    assert told in refused.stderr


@pytest.mark.once
def test_a_turn_of_qcore_loses_nothing_and_has_its_figures():
    pytest.importorskip("qcore_orm")
    words = ["--store", "sqlite", "--peers", "qcore", "--measure", "drain"]
    small = ["--rounds", "1", "--tasks", "40", "--calm", "0", "--here", "--json"]
    done = bench(*words, *small)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    (drain,) = document["measurements"]["drain"]["qcore"]
    assert (drain["tasks"], drain["kept"]) == (40, 40)
    assert (drain["lost"], drain["twice"]) == (0, 0)
    assert drain["drain"] >= drain["stored"] > 0
    assert drain["cpu"] >= 0
    assert drain["memory"] > 10


@pytest.mark.live
def test_each_step_of_a_task_is_counted_in_two_forks(tmp_path):
    """valgrind, which does the counting, is not needed for that."""
    module = BENCH.with_name("instructions.py")
    subprocess.run(
        [sys.executable, str(module), str(tmp_path)], timeout=280, check=True
    )
    lines = (tmp_path / "forks").read_text().splitlines()
    steps = [line.split("\t") for line in lines]
    assert [step[0] for step in steps if step[1] == "build"] == ["caller"]
    assert {step[0] for step in steps} == {"caller", "dispatcher", "worker"}
    forks = [int(number) for step in steps for number in step[2:]]
    assert len(set(forks)) == 2 * len(steps)


@pytest.mark.live
def test_each_kind_of_task_takes_the_same_walk(tmp_path):
    """valgrind is not needed for that."""
    module = BENCH.with_name("features.py")
    subprocess.run(
        [sys.executable, str(module), str(tmp_path)], timeout=280, check=True
    )
    lines = (tmp_path / "forks").read_text().splitlines()
    kinds = {name: rest for name, *rest in (line.split("\t") for line in lines)}
    assert list(kinds) == [
        "plain", "urgent", "tracked", "retried", "member", "unique", "limited", "rated",
        "node", "step", "plain apart", "outbox",
    ]  # fmt: skip
    statements = {
        name: (int(sent), int(walk)) for name, (sent, walk, *_) in kinds.items()
    }
    assert statements["plain"][0] == 1
    # a batch of them is a few statements, and never some for each task
    few = ("plain", "retried", "member", "unique", "limited", "rated", "outbox")
    for name in few:
        assert sum(statements[name]) < 50, name


@pytest.mark.live
def test_without_valgrind_it_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "")
    shown = bench("--instructions")
    assert shown.returncode == 1
    assert shown.stderr == (
        "bench: valgrind counts instructions. Type: apt-get install valgrind\n"
    )


def test_ratios_are_those_of_turns_in_one_round(table):
    base = importlib.import_module("measurements.base")
    rates = base.Measurement(
        "drain",
        "",
        (base.Figure("rate", "tasks/s", compared=True), base.Figure("lost", "tasks")),
        lambda run, plan: {},
    )
    rounds = {
        "qcore": [{"rate": 300.0, "lost": 0}, {"rate": 100.0, "lost": 0}, None],
        "huey": [{"rate": 100.0, "lost": 1}, {"rate": 50.0, "lost": 1}, {"rate": 1.0}],
    }
    lines = "\n".join(table.render(rates, rounds, "redis"))
    assert "| qcore     | 200 [100..300]" in lines
    assert "| huey      | 50 [1..100]" in lines
    # 300 / 100 and 100 / 50; the third round has no pair
    assert "| qcore / huey | 2.50 [2.00..3.00] |" in lines


def test_both_benches_write_the_same_table_each_in_its_way():
    table = writer.Table(["WHAT", "RATE"], [["drain", "9"], ["none", ""]], right={1})
    blocks = ["A sentence of seven words, or so.", table, "The end."]
    assert writer.as_text(blocks, 20) == [
        "A sentence of seven", "words, or so.", "",
        "  WHAT   RATE", "  drain     9", "  none", "", "The end.",
    ]  # fmt: skip
    assert writer.as_markdown(blocks) == [
        "A sentence of seven words, or so.", "",
        "| WHAT  | RATE |", "|-------|-----:|", "| drain |    9 |", "| none  |      |",
        "", "The end.",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "text"), [([], "-"), ([7.0], "7"), ([9.1, 7.0, 1000], "9 [7..1,000]")]
)
def test_a_spread_is_a_median_between_its_ends(values, text):
    assert writer.spread(values) == text
