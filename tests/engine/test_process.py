from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys

import pytest

from qcore.engine.system.process import how_it_died, processors_of, rss_kb


@pytest.mark.parametrize(
    ("processors", "each", "expected"),
    # the three tables of the documentation, line by line
    [
        (4, 1, [[0], [1], [2], [3]]),
        (4, 2, [[0, 1], [2, 3], [0, 1], [2, 3]]),
        (
            8, 3,
            [
                [0, 1, 2], [3, 4, 5], [6, 7, 0], [1, 2, 3],
                [4, 5, 6], [7, 0, 1], [2, 3, 4], [5, 6, 7],
            ],
        ),
    ],
)  # fmt: skip
def test_the_documented_tables(processors, each, expected):
    available = range(processors)
    workers = range(len(expected))
    assert [processors_of(index, each, available) for index in workers] == expected


@pytest.mark.parametrize(("each", "count"), [(0, 4), (4, 4), (5, 4), (1, 1)])
def test_no_effect(each, count):
    assert processors_of(0, each, range(count)) == []


def test_processors_need_not_be_numbered_from_0():
    """In a container only some of them are ours."""
    assert [processors_of(i, 2, [3, 5, 7]) for i in range(3)] == [
        [3, 5],
        [7, 3],
        [5, 7],
    ]


def test_memory_grows_with_what_is_kept():
    before = rss_kb()
    # pages of its own: the allocator might give what other tests have freed, and what
    # this process has already
    with mmap.mmap(-1, 20 * 1024 * 1024) as kept:
        kept.write(bytes([1]) * len(kept))
        assert rss_kb() - before > 15_000


@pytest.mark.live
@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("pass", "exit code 0"),
        ("import os; os._exit(3)", "exit code 3"),
        ("import os; os.kill(os.getpid(), 15)", "killed by SIGTERM"),
        (
            "import os; os.kill(os.getpid(), 9)",
            "killed by SIGKILL, probably out of memory",
        ),
    ],
)
def test_how_it_died(program, expected):
    child = subprocess.Popen([sys.executable, "-S", "-c", program])
    _, status = os.waitpid(child.pid, 0)
    child.returncode = 0  # it is reaped: Popen need not ask
    assert how_it_died(status) == expected


def test_a_signal_without_a_name():
    # a wait status with a number that signal.Signals does not have
    unnamed = next(n for n in range(signal.SIGRTMIN + 1, signal.SIGRTMAX))
    assert how_it_died(unnamed) == f"killed by signal {unnamed}"
