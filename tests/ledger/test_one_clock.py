"""The ledger has one expression for now: its database's clock, plus that of a test.

The clocks of machines differ, and one may be set by hours. Nothing that the ledger or the
plugins on it keep back, hold or count may come sooner or later for that.
"""

from __future__ import annotations

import ast
import re
import time
from pathlib import Path

import pytest
from support.own_modules import give_own

import qcore.clock
from qcore.ledger import clock, control, tracked
from qcore.ledger.outbox import TERM, Outbox
from qcore.ledger.tickets import KEPT, Tickets
from qcore.models import Ticket
from qcore.runtime import current
from qcore.settled import TicketState
from qcore.tasks import async_task

ROOT = Path(__file__).resolve().parents[2]
#: What keeps its state in rows of the ledger.
PLACES = (
    "qcore/ledger",
    "plugins/qcore-limits/qcore_limits",
    "plugins/qcore-flows/qcore_flows",
)

#: Functions that read the clock of the machine, and why they may.
BY_THE_MACHINE = {
    # `expires` is a moment that a caller has given, by the clock of people
    "qcore/ledger/moves.py": {"follower_of"},
    "plugins/qcore-flows/qcore_flows/callbacks.py": {"fresh"},
    # the moments of tasks and results that workers and senders have noted, days ago
    "qcore/ledger/tracked.py": {"prune", "forget_lost"},
    "qcore/ledger/control.py": {"_is_over"},
    "qcore/ledger/forgotten.py": {"missing"},
}
#: Python that reads it, and words of SQL that read a clock.
_PYTHON = {"time.time", "wall", "timezone.now", "datetime.now", "dt.datetime.now"}
_SQL = re.compile(
    r"statement_timestamp|clock_timestamp|julianday|utc_timestamp|unix_timestamp"
    r"|current_timestamp|extract\(epoch|\bnow\(\)",
    re.IGNORECASE,
)


def modules():
    return [path for place in PLACES for path in sorted((ROOT / place).rglob("*.py"))]


def readers(tree):
    """Return the functions that read the clock of the machine, "" for a module's own."""
    found = set()

    def visit(node, name):
        if isinstance(node, ast.FunctionDef):
            name = node.name
        if isinstance(node, ast.Call) and ast.unparse(node.func) in _PYTHON:
            found.add(name)
        for child in ast.iter_child_nodes(node):
            visit(child, name)

    visit(tree, "")
    return found


def texts(tree):
    """Return the strings of a module that are no docstrings."""
    lone = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in lone
    ]


def test_who_reads_the_clock_of_the_machine_is_known():
    found = {}
    for path in modules():
        if names := readers(ast.parse(path.read_text())):
            found[path.relative_to(ROOT).as_posix()] = names
    assert found == BY_THE_MACHINE


def test_one_module_says_how_a_database_tells_the_time():
    telling = {
        path.relative_to(ROOT).as_posix()
        for path in modules()
        if any(_SQL.search(text) for text in texts(ast.parse(path.read_text())))
        and "migrations" not in path.parts
    }
    assert telling == {"qcore/ledger/clock.py"}


def test_the_scan_finds_what_it_looks_for():
    tree = ast.parse(
        "def f():\n    return time.time()\ndef g():\n    x('SELECT NOW()')"
    )
    assert readers(tree) == {"f"}
    assert any(_SQL.search(text) for text in texts(tree))


@pytest.fixture(params=[-86400.0, 0.0, 86400.0], ids=["behind", "right", "ahead"])
def machine(request, monkeypatch):
    """The clock of this machine is wrong by a day, for all that the ledger calls."""

    def wrong():
        return time.time() + request.param

    for module in (control, tracked, qcore.clock):
        give_own(monkeypatch, module, "time", time=wrong)
    return request.param


def test_what_is_due_is_due_by_the_clock_of_the_database(outside, machine, ahead):
    """A delay that the broker cannot keep; a claim; and a ticket that has become old."""
    outbox = Outbox(current.conf)
    async_task("math.floor", 1.5, delay=2 * outside.longest)
    assert outbox.claim("tests", "a", limit=10, size=10**6) == []
    assert outbox.next_due("tests") == pytest.approx(2 * outside.longest, abs=60)
    ahead(2 * outside.longest + 1)
    (row,) = outbox.claim("tests", "b", limit=10, size=10**6)
    assert outbox.claim("tests", "c", limit=10, size=10**6) == []  # it is held
    ahead(TERM + 1)
    assert outbox.claim("tests", "d", limit=10, size=10**6)[0].id == row.id
    tickets = Tickets(outbox.database)
    tickets.insert({row.task_id: TicketState(final="success")})
    ahead(KEPT - 120)
    assert tickets.prune() == 0
    ahead(240)
    assert tickets.prune() == 1
    assert not Ticket.objects.exists()


def test_a_mark_is_as_old_as_the_database_says(outside, machine, ahead):
    """The moment of a cancelling is compared with nothing that a machine has written."""
    id = async_task("math.floor", 1.5)
    control.Control(current.conf).cancel([id])
    (at,) = Ticket.objects.values_list("cancelled", flat=True)
    told = current.ledger.now()
    assert at == pytest.approx(told, abs=60)


def test_the_clock_of_a_test_moves_each_of_them(outside, ahead):
    before = current.ledger.now(), qcore.clock.wall(), qcore.clock.elapsed()
    ahead(86400.0)
    after = current.ledger.now(), qcore.clock.wall(), qcore.clock.elapsed()
    assert clock.Clock is qcore.clock.Clock
    for one, other in zip(before, after, strict=True):
        assert other - one == pytest.approx(86400.0, abs=60)
