"""Nothing that others have written acts on a terminal, or forges a line of a log."""

from __future__ import annotations

import ast
import io
import logging
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcore.cli.output import complain, write_lines
from qcore.logs import LOGGERS, PrintableFilter, keep_printable
from qcore.monitor.text import Paint, clip, facts, table
from qcore.printable import printable, printable_lines

ROOT = Path(__file__).parents[2]

#: An escape sequence, a title of the window, the end of a forged line, C1, bidi, surrogate.
EVIL = [
    "\x1b[2J", "\x1b]0;owned\x07", "\r2026 INFO forged", "\x9b31m", "\x7f", "\x00",
    "\u202egpj.exe", "\u2066x", "\u200fx", "\u061c", "\u2028x", "\udcff", "\x0b", "\x85",
]  # fmt: skip

#: What may act: controls, bidirectional controls, separators of lines.
ACTING = {"Cc", "Cs", "Zl", "Zp"}
BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def acts(text: str, *, allowed: str = "") -> bool:
    return any(
        char not in allowed
        and (
            unicodedata.category(char) in ACTING
            or unicodedata.bidirectional(char) in BIDI
            or char in "\u200e\u200f\u061c"
        )
        for char in text
    )


@pytest.mark.fault("H12")
@given(st.text(st.characters()) | st.sampled_from(EVIL))
def test_nothing_that_acts_is_left(text):
    assert not acts(printable(text))
    assert not acts(printable_lines(text), allowed="\n\t")
    printable(text).encode()


def test_each_character_that_acts_is_known():
    for number in range(0x110000):
        assert not acts(printable(chr(number))), hex(number)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "shop.tasks.add",
        "naïve café 東京 🎉👨\u200d👩",
        "עברית",
        "a\u00a0b",
        "\\x1b",
    ],
)
def test_what_people_write_stays(text):
    assert printable(text) == printable_lines(text) == text


def test_what_is_shown_is_what_was_there():
    assert printable("a\x1b[2J\r\n\u202eb") == r"a\x1b[2J\r\n\u202eb"
    assert printable_lines("a\n\tb\rc") == "a\n\tb\\rc"


# -- terminals -------------------------------------------------------------------------------
class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.fault("H12")
@pytest.mark.parametrize("evil", EVIL)
def test_everything_that_verbs_write_is_printable(evil, capsys, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = Terminal()
    paint = Paint(out)
    lines = [
        evil,
        clip(evil, 40),
        *facts([(evil, evil)]),
        *table([["name"], [evil]], width=40),
        paint(evil, "red"),
        f"{paint('fine', 'green')} {evil}",
    ]
    write_lines(out, lines)
    complain(f"{evil}\n")
    written = out.getvalue()
    assert written.count("\n") == len(lines)
    assert "\x1b[31m" in written, "our own colours stay"
    ours = re.sub("\x1b\\[(?:0|3[12])m", "", written)
    assert not acts(ours, allowed="\n")
    assert not acts(capsys.readouterr().err, allowed="\n")


@pytest.mark.fault("H12")
@pytest.mark.parametrize("evil", EVIL)
def test_the_boxes_of_rich_are_printable(evil):
    fancy = pytest.importorskip("qcore.monitor.fancy")
    from rich.console import Console

    out = io.StringIO()
    console = Console(file=out, width=100, color_system=None)
    console.print(fancy.boxes(view(evil)))
    assert not acts(out.getvalue(), allowed="\n")


def view(evil: str):
    from qcore.monitor.look import View
    from qcore.status import Progress, Snapshot, WorkerStatus

    worker = WorkerStatus(
        index=1, pid=1, state=evil, task_name=evil, func=evil,
        progress=Progress(done=1, note=evil),
    )  # fmt: skip
    cluster = Snapshot(
        cluster=f"{evil}{'0' * 32}{evil}", name=evil, queue=evil, host=evil, version=evil,
        broker=evil, state=evil, sentinel_pid=1, dispatcher_pid=1, started=0.0, at=1.0,
        workers=[worker], problem=evil,
    )  # fmt: skip
    return View(
        at=1.0, project=evil, queue=evil, broker=evil, route="cache", waiting=0, claimed=0,
        oldest=None, clusters=[cluster], rates={cluster.cluster: 0.0},
    )  # fmt: skip


@pytest.mark.fault("H12")
@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("width", [40, 120])
def test_the_plain_view_is_printable(evil, width):
    from qcore.monitor import memory, plain

    lines = plain.render(view(evil), width, Paint(io.StringIO()))
    lines += memory.render(view(evil).clusters, width, Paint(io.StringIO()))
    assert not acts("".join(lines))


# -- the log ---------------------------------------------------------------------------------
def written(log) -> str:
    """Return what a handler of the project writes of one record."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger = logging.getLogger("qcore.worker")
    logger.addHandler(handler)
    try:
        log(logger)
    finally:
        logger.removeHandler(handler)
    return out.getvalue()


@pytest.mark.fault("H12")
@pytest.mark.parametrize("evil", EVIL)
def test_a_line_of_the_log_is_one_line(evil):
    keep_printable()
    for text in (
        written(lambda log: log.error("%s id=%s", evil, 7)),
        written(lambda log: log.error("broken: %s", ValueError(evil))),
        written(lambda log: log.error(evil)),
    ):
        assert text.count("\n") == 1
        assert not acts(text, allowed="\n")


@pytest.mark.fault("H12")
@pytest.mark.parametrize("evil", EVIL)
def test_a_traceback_keeps_its_lines_and_nothing_else(evil):
    keep_printable()

    def failing(log):
        try:
            raise ValueError(evil)
        except ValueError:
            log.exception("it failed")

    text = written(failing)
    assert "Traceback" in text
    assert "ValueError" in text
    assert not acts(text, allowed="\n")


@pytest.mark.fault("H12")
def test_a_traceback_says_no_password():
    keep_printable()

    def failing(log):
        try:
            raise ConnectionError("redis://me:hidden@there is away")
        except ConnectionError:
            log.exception("it failed")

    text = written(failing)
    assert "ConnectionError: redis://me:***@there is away" in text
    assert "hidden" not in text.replace('me:hidden@there is away")', "")


def test_a_record_that_is_printable_keeps_its_arguments():
    record = logging.makeLogRecord({"msg": "%s took %d", "args": ("add", 3)})
    assert PrintableFilter().filter(record)
    assert (record.msg, record.args) == ("%s took %d", ("add", 3))
    wrong = logging.makeLogRecord({"msg": "%d", "args": ("no number",)})
    assert PrintableFilter().filter(wrong), "its handler tells what is wrong"


def calls(path: Path) -> list[ast.Call]:
    tree = ast.parse(path.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def test_every_logger_is_kept_printable():
    paths = [*ROOT.glob("qcore/**/*.py"), *ROOT.glob("plugins/*/qcore_*/**/*.py")]
    known, patterns = set(LOGGERS), set()
    for path in paths:
        for call in calls(path):
            if ast.unparse(call.func) == "logging.getLogger" and call.args:
                name = ast.unparse(call.args[0]).strip("'\"f")
                if name.startswith("qcore.") and "example" not in name:
                    patterns.add(name)
    assert {name for name in patterns if "{" not in name} <= known
    assert patterns - known == {"qcore.{who}"}, "Patience: pusher, recorder, keeper"


def test_verbs_write_through_one_place():
    wrong = [
        f"{path.name}:{call.lineno}"
        for path in ROOT.glob("qcore/cli/*.py")
        if path.name != "output.py"
        for call in calls(path)
        if ast.unparse(call.func) in {"sys.stderr.write", "out.write", "print"}
    ]
    assert wrong == []
