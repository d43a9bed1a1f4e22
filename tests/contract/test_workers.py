"""name, workers, recycle, guard_cycle, queue_limit, cpu_affinity: the cluster itself."""

from __future__ import annotations

import ast
import itertools
import os
import re
import time
import types
from pathlib import Path

import pytest
from chores.ledger import let_go, wait_for
from contract.document import examples
from django.test import override_settings
from support.own_modules import give_own

import qcore
from qcore.conf import Conf, cpu_count, problems, settings
from qcore.engine.system.process import processors_of
from qcore.runtime import current
from qcore.tasks import async_iter, async_task, queue_size, result

sentence = pytest.mark.sentence
PACKAGE = Path(qcore.__file__).parent


# -- name --------------------------------------------------------------------------------
@pytest.mark.fault("J8")
@sentence("name", "Used to differentiate between projects using the same broker.")
@sentence("name", "On most broker types this will be used as the queue name.")
def test_projects_of_two_names_share_a_broker(start, settings):
    cluster = start(name="bookshop")
    ours = async_task("os.getpid")  # of the project "tests", in the same table
    with override_settings(Q_CLUSTER={**settings.Q_CLUSTER, "name": "bookshop"}):
        theirs = async_task("os.getpid")
        assert current.broker().queue == "bookshop"
        assert result(theirs, wait=60_000) in cluster.workers
        cluster.wait_idle()
    assert result(ours) is None
    assert current.broker().queue == "tests"
    assert queue_size() == 1
    current.broker().purge_queue()


# -- workers -------------------------------------------------------------------------------
@sentence("workers", "The number of workers to use in the cluster.")
@sentence("workers", "can be set to a custom number")
def test_as_many_workers_as_are_set_work_at_once(start, ledger, key):
    cluster = start(queue="three", workers=3)
    for _ in range(3):
        async_task("chores.kind.hold", key, cluster="three")
    began = ledger.wait(key, "began", 3)
    assert {entry.pid for entry in began} == set(cluster.workers)
    assert ledger.entries(key, "ended") == []
    let_go(key)


@sentence("workers", "Defaults to CPU count of the current host")
@sentence("workers", "set the worker count in the configuration manually")
def test_one_worker_for_each_processor_unless_set(start):
    assert len(start(queue="each", workers=None).workers) == cpu_count()


@sentence(
    "workers",
    "Uses :func:`multiprocessing.cpu_count()` which can fail on some platforms",
)
@pytest.mark.parametrize("asked", ["process_cpu_count", "sched_getaffinity"])
def test_a_system_that_does_not_say_has_one_processor(monkeypatch, asked):
    says_nothing = {"cpu_count": lambda: None}
    if asked == "process_cpu_count":  # Python 3.13
        says_nothing[asked] = lambda: None
    others = ["process_cpu_count", "sched_getaffinity"]
    give_own(monkeypatch, settings, "os", without=others, **says_nothing)
    assert cpu_count() == 1
    assert Conf.from_dict({}).workers == 1


@sentence("workers", "install :ref:`psutil<psutil_package>` to provide an alternative")
@sentence("max_rss", "or install the :ref:`psutil<psutil_package>` module")
@sentence("cpu_affinity", "setting requires the optional :ref:`psutil")
def test_nothing_that_a_setting_does_needs_psutil():
    """Only `qcore memory`, elsewhere than on Linux, has a use for it."""
    named = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if "psutil" in {n.split(".")[0] for n in imported(path)}
    ]
    assert named == ["monitor/memory.py"]


def imported(path):
    """Yield the modules that a file imports, at its head or within a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


# -- recycle ---------------------------------------------------------------------------------
@sentence("recycle", "The number of tasks a worker will process before recycling .")
def test_a_worker_is_replaced_after_so_many_tasks(start):
    start(queue="recycle", workers=1, recycle=3)
    group = async_iter("os.getpid", [()] * 8, cluster="recycle")
    pids = result(group, wait=60_000)
    runs = sorted(len(list(run)) for _, run in itertools.groupby(sorted(pids)))
    assert runs == [2, 3, 3]


# -- guard_cycle ---------------------------------------------------------------------------
def naps_of(pid: int) -> int:
    """Return how often a process has gone to sleep since it began."""
    status = Path(f"/proc/{pid}/status").read_text()
    (count,) = re.findall(r"^voluntary_ctxt_switches:\s+(\d+)$", status, re.MULTILINE)
    return int(count)


@sentence("guard_cycle", "Guard loop sleep in seconds")
def test_the_sentinel_sleeps_for_a_guard_cycle(start):
    brisk = start(queue="brisk", guard_cycle=0.02, workers=1)
    lazy = start(queue="lazy", guard_cycle=30, workers=1)
    lazy.wait_for(lambda: lazy.snapshot)  # it is past its beginning
    before = naps_of(brisk.sentinel), naps_of(lazy.sentinel)
    wait_for(lambda: naps_of(brisk.sentinel) >= before[0] + 40, what="40 rounds")
    assert naps_of(lazy.sentinel) <= before[1] + 10, "it has other reasons to wake"


@sentence("guard_cycle", "must be greater than 0 and less than 60.")
@pytest.mark.parametrize("value", [0, -1, 60, 61])
def test_guard_cycles_that_are_refused(value):
    (message,) = problems({"guard_cycle": value})
    assert "expected a number of seconds > 0 and < 60" in message
    assert problems({"guard_cycle": 59.9}) == problems({"guard_cycle": 0.01}) == []


# -- queue_limit -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("limits", "held"),
    [
        pytest.param(
            {"workers": 1, "queue_limit": 2},
            3,  # two, and the one that runs
            marks=[
                sentence(
                    "queue_limit",
                    "This does not limit the amount of tasks that can be queued on the"
                    " broker, but rather how many tasks are kept in memory by a single"
                    " cluster.",
                ),
                sentence("queue_limit", "can help balance the workload"),
            ],
        ),
        pytest.param(
            {"workers": 2},
            6,
            marks=sentence("queue_limit", "Defaults to ``workers**2``."),
        ),
    ],
    ids=["set", "default"],
)
def test_what_one_cluster_holds_in_memory(start, ledger, key, limits, held):
    queue = f"limit-{held}"
    for _ in range(10):
        async_task("chores.kind.nap", key, 600, cluster=queue)  # none ends by itself
    assert queue_size(current.broker(queue)) == 10, "the broker takes what comes"
    cluster = start(queue=queue, retry=60, **limits)
    ledger.wait(key, "began", limits["workers"])
    broker = current.broker(queue)
    cluster.wait_for(lambda: broker.lock_size() == held, 5)
    until = time.monotonic() + 0.3
    while time.monotonic() < until:
        assert broker.lock_size() <= held
    if "queue_limit" in limits:  # what one leaves, another one takes
        another = start(queue=queue, retry=60, **limits)
        another.wait_for(lambda: broker.lock_size() >= 2 * held - 1, 5)
        another.signal(3)
        another.wait()
    cluster.signal(3)  # SIGQUIT: what it holds is given back
    cluster.wait()
    broker.purge_queue()


# -- cpu_affinity ----------------------------------------------------------------------------
def tables():
    """Yield processors, workers, affinity and the rows of each table of the document."""
    (example,) = (one for one in examples() if one.setting == "cpu_affinity")
    head = r"(\d+) processors, (\d+) workers, cpu_affinity: (\d+)\n\n"
    for match in re.finditer(head + r"((?:worker .*\n)+)", example.text):
        rows = re.findall(r"cpu \[(.+)\]", match[4])
        wanted = [[int(cpu) for cpu in row.split(",")] for row in rows]
        yield int(match[1]), int(match[2]), int(match[3]), wanted


def test_the_document_has_three_tables():
    assert [(p, w, a, len(rows)) for p, w, a, rows in tables()] == [
        (4, 4, 1, 4),
        (4, 4, 2, 4),
        (8, 8, 3, 8),
    ]


@sentence("cpu_affinity", "(example 1)")
@pytest.mark.parametrize(("processors", "workers", "each", "rows"), list(tables()))
def test_the_tables_are_what_is_reckoned(processors, workers, each, rows):
    reckoned = [processors_of(n, each, range(processors)) for n in range(workers)]
    assert reckoned == rows


#: Two calls of the system as they would be on a larger machine: who asks for which
#: processors is noted, by pid.
LARGER_MACHINE = """
import os
from pathlib import Path

FOLDER, COUNT = Path({folder!r}), {count}

def sched_getaffinity(pid):
    noted = FOLDER / str(pid or os.getpid())
    return set(map(int, noted.read_text().split())) if noted.exists() else set(range(COUNT))

def sched_setaffinity(pid, mask):
    (FOLDER / str(pid or os.getpid())).write_text(" ".join(map(str, mask)))

os.sched_getaffinity, os.sched_setaffinity = sched_getaffinity, sched_setaffinity
os.process_cpu_count = lambda: COUNT  # Python 3.13
"""


@pytest.fixture
def processors(tmp_path, monkeypatch):
    """Give this process, and the clusters that it starts, so many processors.

    Where there are fewer, the system's two calls are replaced in the clusters.
    """
    all_of_them = os.sched_getaffinity(0)

    def limit(count: int):
        """Return the processors, and what tells those of a process."""
        if count <= len(all_of_them):
            os.sched_setaffinity(0, sorted(all_of_them)[:count])
            return sorted(all_of_them)[:count], os.sched_getaffinity
        source = LARGER_MACHINE.format(folder=str(tmp_path), count=count)
        # imported by every Python that starts with this folder in its path
        (tmp_path / "sitecustomize.py").write_text(source)
        monkeypatch.syspath_prepend(str(tmp_path))
        names = {"os": types.SimpleNamespace(getpid=os.getpid)}
        exec(source.replace("import os\n", ""), names)
        return list(range(count)), names["sched_getaffinity"]

    yield limit
    os.sched_setaffinity(0, all_of_them)


@sentence("cpu_affinity", "Sets the number of processor each worker can use.")
@sentence("cpu_affinity", "This does not affect auxiliary processes like the sentinel")
@pytest.mark.parametrize(
    ("count", "workers", "each", "rows"),
    [(2, 3, 1, [[0], [1], [0]]), *tables()],
)
def test_the_tables_are_what_processes_have(
    start, processors, count, workers, each, rows
):
    available, affinity_of = processors(count)
    cluster = start(
        queue=f"affinity-{count}-{each}", workers=workers, cpu_affinity=each
    )

    def seen():
        snapshot = cluster.snapshot
        found = snapshot.workers if snapshot else []
        return found if len(found) == workers else None

    bound = {w.index: affinity_of(w.pid) for w in cluster.wait_for(seen)}
    assert bound == {
        index: {available[cpu] for cpu in row} for index, row in enumerate(rows, 1)
    }
    for pid in (cluster.sentinel, cluster.dispatcher):
        assert affinity_of(pid) == set(available)


@sentence(
    "cpu_affinity",
    "The affinity number has to be higher than zero and less than the total number of"
    " processors to have any effect.",
)
@sentence("cpu_affinity", "Defaults to using all processors::")
def test_an_affinity_without_effect(start):
    conf = [Conf.from_dict({"cpu_affinity": n}) for n in (0, cpu_count(), 1000)]
    assert [one.affinity for one in conf] == [0, 0, 0]
    cluster = start(queue="unbound", cpu_affinity=cpu_count(), workers=1)
    (worker,) = cluster.workers
    assert os.sched_getaffinity(worker) == os.sched_getaffinity(0)
