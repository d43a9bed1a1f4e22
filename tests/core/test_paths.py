"""Only a path travels, so it must lead to the very function that was given."""

from __future__ import annotations

import importlib
import inspect
import sys
import types
from unittest import mock

import pytest
from chores import kind, paths

from qcore.errors import EnqueueError, TaskNotFound
from qcore.tasks import async_chain, async_iter, async_task, fetch, queue_size, result
from qcore.tasks.arguments import check_call
from qcore.tasks.functions import path_of, resolve
from qcore.testing.drain import drain, perform

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("qcore_queue")]


# -- what is given is what runs --------------------------------------------------------
@pytest.mark.parametrize(
    ("function", "path"),
    [
        (paths.Base.run, "Base.run"),
        (paths.Child.run, "Child.run"),
        (paths.Base.still, "Base.still"),
        (paths.Child.still, "Base.still"),
        (paths.Child.of_meta, "Child.of_meta"),
        (paths.tripled, "tripled"),
        (paths.same_price, "price"),
        (paths.wrapped_in_an_object, "wrapped_in_an_object"),
        (paths.Child, "Child"),
    ],
)
def test_the_path_leads_to_what_was_given(function, path):
    assert path_of(function) == f"chores.paths.{path}"
    if function is not paths.Child:
        task_id = async_task(function)
        drain()
        came = result(task_id)
        assert came == function()


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (
            paths.doubled,
            (
                r"chores.paths.price: the worker gets only this path, and it leads to another function"
                r".*functools.wraps.*by the path of that name: 'chores.paths.doubled'"
            ),
        ),
        (
            paths.times(2)(paths.price),
            "Give the wrapper a name of its own in its module",
        ),
        (paths.old, r"a newer definition has this name.*'chores.paths.old'"),
        (paths.other_object, "'chores.paths.other_object'"),
        (paths.named_partial, "'chores.paths.named_partial'"),
        (paths.partial, "a partial has no name.* Pass the function, and its arguments"),
        (paths.callable_object, "has no name that a worker could import"),
        (paths.callable_object.run.__func__.__get__(3), "the bound method"),
        (paths.Base().__call__, "the bound method"),
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(function, told):
    calls = [
        lambda: async_task(function),
        lambda: async_iter(function, [1]),
        lambda: async_chain([kind.add_nothing, function]),
        lambda: async_task(kind.add, 1, hook=function),
    ]
    for call in calls:
        with pytest.raises(EnqueueError, match=told):
            call()
    assert queue_size() == 0


def test_the_path_that_a_refusal_names_does_it():
    task_id = async_task("chores.paths.doubled", 3)
    drain()
    assert result(task_id) == paths.doubled(3) == 6


def test_a_name_that_is_given_to_something_else_later():
    """What was found out about a function is kept; where its path leads to is not."""
    module = types.ModuleType("renamed_tasks")
    exec("def task(): return 'old'", vars(module))
    sys.modules["renamed_tasks"] = module
    try:
        before = module.task
        assert path_of(before) == "renamed_tasks.task"
        exec("def task(): return 'new'", vars(module))
        with pytest.raises(EnqueueError, match="Import it again, or send the path"):
            path_of(before)
        assert path_of(module.task) == "renamed_tasks.task"
        del module.task
        with pytest.raises(EnqueueError, match="would not find it under this path"):
            path_of(before)
    finally:
        del sys.modules["renamed_tasks"]
    with pytest.raises(EnqueueError, match="no module named 'renamed_tasks'"):
        path_of(before)


def test_a_module_that_is_not_loaded_any_more_is_imported(tmp_path, monkeypatch):
    (tmp_path / "coming_and_going.py").write_text("def task(): return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    assert resolve("coming_and_going.task")() == 1
    (tmp_path / "coming_and_going.py").write_text("def task(): return 'two'\n")
    del sys.modules["coming_and_going"]
    importlib.invalidate_caches()
    try:
        assert resolve("coming_and_going.task")() == "two"
    finally:
        del sys.modules["coming_and_going"]


def test_equal_is_not_the_same():
    class Equal:
        """All of them are one, by their own account."""

        __qualname__ = "add"

        def __init__(self, module):
            self.__module__ = module
            self.__qualname__ = "add"

        def __eq__(self, other):
            return True

        def __hash__(self):
            return 1

        def __call__(self):
            """Do nothing."""

    with pytest.raises(EnqueueError, match="leads to another function"):
        path_of(Equal("chores.kind"))


# -- the signature is that of what is called -----------------------------------------------
def test_a_decorator_that_gives_an_argument():
    task_id = async_task(paths.greet, "hello")
    drain()
    assert result(task_id) == "hello, ann"


def test_a_decorator_that_says_what_it_takes():
    wrapper = paths.times(2)(paths.price)
    wrapper.__signature__ = inspect.signature(lambda only: only)
    with (
        mock.patch.object(paths, "price", wrapper),
        pytest.raises(EnqueueError, match="too many positional"),
    ):
        check_call("chores.paths.price", (1, 2), {})


def test_what_is_cached_takes_what_it_wraps_takes():
    with pytest.raises(EnqueueError, match="too many positional"):
        async_task(paths.kept, 1, 2)


def test_the_signature_is_of_what_is_there_now():
    check_call("chores.kind.add", (1,), {})
    with mock.patch("chores.kind.add", kind.add_nothing):
        check_call("chores.kind.add", (), {})
        with pytest.raises(EnqueueError, match="too many positional"):
            check_call("chores.kind.add", (1,), {})
    with pytest.raises(EnqueueError, match="missing a required"):
        check_call("chores.kind.add", (), {})


# -- patches of tests ------------------------------------------------------------------------
def test_a_patch_is_seen_and_does_not_outlive_its_test():
    sent = lambda: result(async_task("chores.kind.add", 1, sync=True))  # noqa: E731
    assert sent() == 1
    with mock.patch("chores.kind.add", lambda left: f"mock {left}"):
        assert (sent(), perform("chores.kind.add", 2)) == ("mock 1", "mock 2")
    assert sent() == 1
    assert perform("chores.kind.add", 2) == 2


def test_a_patch_at_the_first_look_does_not_stay():
    with mock.patch("chores.paths.price", return_value="mock"):
        assert perform("chores.paths.price", 1) == "mock"
    assert perform("chores.paths.price", 1) == 1


def test_a_function_that_a_mock_stands_in_for_may_be_sent():
    """Code that has imported the function sends it; the double runs."""
    imported = kind.echo
    with mock.patch("chores.kind.echo", return_value="mock") as double:
        task_id = async_task(imported, 5)
        drain()
    assert result(task_id) == "mock"
    double.assert_called_once_with(5)
    with mock.patch("chores.kind.echo", autospec=True, return_value="spec") as double:
        task_id = async_task(imported, 6)
        drain()
    assert result(task_id) == "spec"


def test_a_hook_that_is_patched():
    async_task("chores.kind.add", 1, hook="chores.kind.echo")
    with mock.patch("chores.kind.echo") as hook:
        drain()
    (finished,) = hook.call_args.args
    assert finished.result == 1


def test_what_is_no_function_any_more():
    assert resolve("chores.kind.add") is kind.add
    with (
        mock.patch("chores.kind.add", 7),
        pytest.raises(TaskNotFound, match="not a function but int"),
    ):
        resolve("chores.kind.add")
    with (
        mock.patch.object(kind, "add"),
        pytest.raises(TaskNotFound, match="has no 'add'"),
    ):
        del kind.add
        resolve("chores.kind.add")


def test_a_failure_to_find_is_not_kept():
    task_id = async_task("not_yet_there.task")
    drain(raises=False)
    assert not fetch(task_id).success
    module = types.ModuleType("not_yet_there")
    module.task = lambda: 1
    with mock.patch.dict(sys.modules, not_yet_there=module):
        assert resolve("not_yet_there.task")() == 1
