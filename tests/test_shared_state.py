"""No test changes for the whole process what other threads of it read.

The clock, signals, sockets and the like belong to the process. A test that replaces
``time.sleep`` counts what threads of drivers and of other tests sleep; one that stops
``time.monotonic`` holds up their waits.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLACES = ("tests", "qcore/testing", "plugins/*/tests", "docs")
#: Modules of Python whose names are shared by all threads of a process.
SHARED = {
    *("asyncio", "builtins", "datetime", "faulthandler", "fcntl", "gc", "getpass"),
    *("logging", "multiprocessing", "os", "platform", "queue", "random", "resource"),
    *("secrets", "select", "selectors", "shutil", "signal", "socket", "sqlite3", "ssl"),
    *("subprocess", "sys", "tempfile", "threading", "time", "uuid", "zoneinfo"),
}
#: What one test may change, for no other thread reads it, or it still gets the real answer.
ALLOWED = {
    ("sys", "stdin"), ("sys", "stderr"), ("sys", "__stderr__"), ("sys", "argv"),
    ("sys", "path"), ("sys", "meta_path"), ("sys", "executable"),
    ("socket", "getaddrinfo"),  # passes names that are not asked about on
}  # fmt: skip


def changed(source: str) -> Iterator[tuple[int, str, str]]:
    """Yield what a file patches: its line, the module as it is called there, and the name."""
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and node.args):
            continue
        match node.func:
            case ast.Attribute(attr="setattr" | "delattr" | "patch" | "object"):
                pass
            case ast.Name(id="setattr" | "delattr" | "patch"):
                pass
            case _:
                continue
        match node.args:
            case [ast.Constant(value=str(path)), *_] if "." in path:
                module, name = path.split(".")[-2:]
            case [
                ast.Name(id=module) | ast.Attribute(attr=module),
                ast.Constant(value=str(name)),
                *_,
            ]:
                pass
            case _:
                continue
        yield node.lineno, module, name


def faults(source: str) -> list[tuple[int, str]]:
    if "attr(" not in source and "patch" not in source:
        return []  # most files; to parse them takes long
    return [
        (line, f"{module}.{name}")
        for line, module, name in changed(source)
        if module in SHARED and (module, name) not in ALLOWED
    ]


def files() -> list[Path]:
    found = [path for place in PLACES for path in ROOT.glob(f"{place}/**/*.py")]
    assert len(found) > 300
    return sorted(found)


def test_each_test_changes_only_what_its_module_sees():
    told = [
        f"{path.relative_to(ROOT)}:{line} changes {what} for the whole process. Type:"
        " give_own(monkeypatch, MODULE_UNDER_TEST, …) of support/own_modules.py"
        for path in files()
        for line, what in faults(path.read_text())
    ]
    assert not told, "\n".join(told)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('monkeypatch.setattr(time, "sleep", list.append)', "time.sleep"),
        ('monkeypatch.setattr(verb.time, "sleep", print)', "time.sleep"),
        ('monkeypatch.setattr("time.sleep", print)', "time.sleep"),
        ('patch.setattr("qcore.cli.dev.os.waitid", print)', "os.waitid"),
        ('monkeypatch.delattr("os.fork")', "os.fork"),
        ('mock.patch("time.monotonic", return_value=1)', "time.monotonic"),
        ('with mock.patch.object(socket, "socket"): pass', "socket.socket"),
        ('setattr(logging, "root", None)', "logging.root"),
        ('monkeypatch.setattr(dev, "time", clock)', None),
        ('monkeypatch.setattr(sys, "stdin", None)', None),
        ('monkeypatch.setattr("qcore.results.base.save", print)', None),
        ("give_own(monkeypatch, dev, 'time', sleep=print)", None),
    ],
)
def test_what_is_found(line, what):
    assert [found for _, found in faults(line)] == ([what] if what else [])
