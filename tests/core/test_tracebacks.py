"""The text of an error is that of Python, however often the error comes."""

from __future__ import annotations

import traceback

import pytest
from support.own_modules import give_own

from qcore.tasks import tracebacks
from qcore.tasks.tracebacks import text_of


class Quiet(Exception):
    def __str__(self):
        return ""


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("it says nothing")

    class Inner(Exception):
        pass


class Placeless(Exception):
    pass


Placeless.__module__ = None


class Noted(ValueError):
    def __init__(self):
        super().__init__("said")
        self.add_note("and more")


def fails(how):  # noqa: C901, PLR0912 - a table of ways
    if how == "plain":
        raise ValueError("no")
    if how == "cause":
        try:
            fails("plain")
        except ValueError as error:
            raise RuntimeError("of that") from error
    if how == "context":
        try:
            fails("plain")
        finally:
            {}["gone"]
    if how == "from none":
        try:
            fails("plain")
        except ValueError:
            raise RuntimeError("of nothing") from None
    if how == "quiet":
        raise Quiet
    if how == "noted":
        raise Noted
    if how == "mute":
        raise Mute
    if how == "inner":
        raise Mute.Inner("one line\nand another")
    if how == "placeless":
        raise Placeless("somewhere")
    if how == "key":
        return {}[how]
    if how == "attribute":
        return "".joun
    if how == "name":
        return fials  # noqa: F821
    if how == "import":
        from traceback import format_exeption  # noqa: F401
    if how == "group":
        raise ExceptionGroup("both", [ValueError(1), TypeError(2)])
    if how == "syntax":
        compile("1 +", "a file", "exec")
    if how == "exit":
        raise SystemExit(3)
    if how.startswith("deep"):
        rest = int(how[4:])
        fails(f"deep{rest - 1}" if rest else "plain")
    if how == "several lines":
        raise ValueError(
            "no",
            "again",
        )
    return eval("1 / 0")


def both_sides(rest):
    if not rest:
        raise ValueError("no")
    # one line that calls from two places: Python counts such frames as alike
    return both_sides(rest - 1) if rest % 2 else [both_sides(rest - 1)]


HOWS = [
    "plain", "cause", "context", "from none", "quiet", "noted", "key", "attribute",
    "name", "import", "group", "syntax", "exit", "deep2", "deep3", "deep4", "deep60",
    "several lines", "eval", "mute", "inner", "placeless",
]  # fmt: skip


@pytest.mark.parametrize("how", HOWS)
def test_it_is_what_python_writes_each_time(how):
    for _ in range(3):
        with pytest.raises(BaseException) as caught:
            fails(how)
        error, trace = caught.value, caught.tb.tb_next
        expected = "".join(traceback.format_exception(type(error), error, trace))
        assert text_of(error, trace) == expected


@pytest.mark.parametrize("rest", [2, 3, 5, 8, 45])
def test_frames_of_one_line_are_counted_as_python_does(rest):
    with pytest.raises(ValueError) as caught:
        both_sides(rest)
    expected = "".join(traceback.format_exception(caught.value))
    assert text_of(caught.value, caught.tb) == expected


@pytest.mark.parametrize("limit", [0, 1])
def test_the_limit_of_the_interpreter_holds(monkeypatch, limit):
    with pytest.raises(ValueError) as caught:
        fails("deep4")
    for module in (tracebacks, traceback):
        give_own(monkeypatch, module, "sys", tracebacklimit=limit)
    expected = "".join(traceback.format_exception(caught.value))
    assert text_of(caught.value, caught.tb) == expected


def test_equal_code_of_two_files_is_told_apart():
    source = "def f():\n    raise ValueError\n"
    for file in ("one.py", "two.py"):
        names = {}
        exec(compile(source, file, "exec"), names)
        with pytest.raises(ValueError) as caught:
            names["f"]()
        assert f'File "{file}", line 2, in f' in text_of(caught.value, caught.tb)


def test_the_places_that_are_kept_are_bounded(monkeypatch):
    monkeypatch.setattr(tracebacks, "_MOST_PLACES", 5)
    for number in range(20):
        names = {}
        exec(compile("def f():\n    raise ValueError\n", f"{number}.py", "exec"), names)
        with pytest.raises(ValueError) as caught:
            names["f"]()
        text_of(caught.value, caught.tb)
        assert len(tracebacks._texts) <= 5


def test_an_error_without_a_traceback_has_a_text():
    assert text_of(ValueError("x"), None) == "ValueError: x\n"
