"""Functions by path: what can be sent, and what the refusals say."""

from __future__ import annotations

import functools
import importlib
import os.path
import sys
from datetime import datetime

import pytest
from chores import kind

from qcore.errors import EnqueueError, TaskNotFound
from qcore.tasks.arguments import check_call
from qcore.tasks.functions import path_of, resolve


class Shop:
    @staticmethod
    def static():
        """Found at Shop.static."""

    @classmethod
    def of_class(cls):
        return cls.__name__

    def method(self):
        """Found only on an object."""


class Callable:
    def __call__(self):
        """Has no name."""


@pytest.mark.parametrize(
    ("function", "path"),
    [
        (kind.add, "chores.kind.add"),
        ("chores.kind.add", "chores.kind.add"),
        ("time.sleep", "time.sleep"),
        (len, "builtins.len"),
        (os.path.join, "posixpath.join"),
        (Shop.static, f"{__name__}.Shop.static"),
        (Shop.of_class, f"{__name__}.Shop.of_class"),
        (Shop, f"{__name__}.Shop"),
        (kind.nap_async, "chores.kind.nap_async"),
        ("not_installed_here.tasks.mail", "not_installed_here.tasks.mail"),
    ],
)
def test_path(function, path):
    assert path_of(function) == path


def nested():
    def inner():
        """Gone with the call of its outer function."""

    return inner


def in_main():
    """Pretend to come from a script."""


in_main.__module__ = "__main__"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: 1, r"cannot send a lambda \(.*\): the worker gets only a dotted path"),
        (nested(), r"cannot send a nested function \(.*nested.<locals>.inner\)"),
        (Shop().method, r"cannot send the bound method .*Shop.method: its Shop object"),
        ("".join, r"cannot send the bound method|has no name"),
        (functools.partial(kind.add, 1), "has no name that a worker could import"),
        (Callable(), "has no name that a worker could import"),
        (in_main, "cannot send in_main: it is defined in __main__"),
        (7, "cannot send 7: expected a function or its dotted path, got int"),
        ("add", "'add' is not a dotted path; expected 'module.function'"),
        ("chores.kind.", "is not a dotted path"),
        ("chores.kind.add()", "is not a dotted path"),
        ("", "'' is not a dotted path"),
        (
            "chores.kind.ad",
            (
                r"there is no 'chores.kind.ad': module 'chores.kind' has no 'ad' - did you"
                r" mean 'add'\?"
            ),
        ),
    ],
)
def test_refusals(function, message):
    with pytest.raises(EnqueueError, match=message):
        path_of(function)


def test_a_string_does_not_import_its_module():
    """The web process may never have loaded the tasks that it sends."""
    sys.modules.pop("chores.broken", None)
    assert path_of("chores.broken.task") == "chores.broken.task"
    assert "chores.broken" not in sys.modules


# -- finding ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("path", "function"),
    [
        ("chores.kind.add", kind.add),
        ("os.path.join", os.path.join),
        (f"{__name__}.Shop.static", Shop.static),
        ("datetime.datetime.now", datetime.now),
    ],
)
def test_resolve(path, function):
    assert resolve(path) == function


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("add", "'add' is not a dotted path"),
        ("chores..add", "is not a dotted path"),
        ("not_installed_here.tasks", "no module named 'not_installed_here'"),
        (
            "chores.kind.ad",
            (
                r"there is no function 'chores.kind.ad': module 'chores.kind' has no 'ad' -"
                r" did you mean 'add'\?"
            ),
        ),
        (
            "datetime.datetime.nov",
            r"class 'datetime' has no 'nov' - did you mean 'now'",
        ),
        ("sys.path", "'sys.path' is not a function but list"),
        ("os.path", "'os.path' is not a function but module"),
    ],
)
def test_what_is_not_found(path, message):
    with pytest.raises(TaskNotFound, match=message):
        resolve(path)


def test_an_error_in_the_module_is_told_as_it_is():
    with pytest.raises(ZeroDivisionError):
        resolve("chores.broken.task")


def test_a_missing_import_in_the_module_is_told_as_it_is(tmp_path, monkeypatch):
    """The task's module is there; it is what it imports that is not."""
    (tmp_path / "needy.py").write_text("import not_installed_here\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    with pytest.raises(ModuleNotFoundError, match="not_installed_here"):
        resolve("needy.task")


# -- arguments ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        (
            (), {},
            (r"chores.kind.add\(\) missing a required argument: 'left'; its signature is"
            r" \(left: 'float', right: 'float' = 0\) -> 'float'."),
        ),
        ((1, 2, 3), {}, "too many positional arguments"),
        ((1,), {"rigth": 2}, "got an unexpected keyword argument 'rigth'"),
        ((1,), {"left": 2}, "multiple values for argument 'left'"),
    ],
)  # fmt: skip
def test_arguments_that_do_not_fit(args, kwargs, message):
    with pytest.raises(EnqueueError, match=message):
        check_call("chores.kind.add", args, kwargs)


def keyword_only(first, *, second):
    return first, second


def keyword_with_default(first, *rest, second=2):
    return first, rest, second


@pytest.mark.parametrize(
    ("function", "args", "fits"),
    [
        (keyword_only, (1,), False),
        (keyword_with_default, (), False),
        (keyword_with_default, (1, 2, 3, 4), True),
    ],
)
def test_how_many_arguments_fit_without_keywords(function, args, fits):
    path = path_of(function)
    if fits:
        check_call(path, args, {})
    else:
        with pytest.raises(EnqueueError, match="missing a required"):
            check_call(path, args, {})


def test_keywords_are_looked_at_beside_enough_arguments():
    with pytest.raises(EnqueueError, match="unexpected keyword"):
        check_call(path_of(keyword_only), (1,), {"second": 2, "third": 3})


@pytest.mark.parametrize("path", ["not_installed_here.tasks.mail", "builtins.print"])
def test_what_cannot_be_known_is_not_refused(path):
    check_call(path, (1, 2, 3), {})
