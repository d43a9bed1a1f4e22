"""Tasks that raise what is hard to write down."""

from __future__ import annotations


def long_text(length: int) -> None:
    raise ValueError("x" * length)


def recurse(depth: int = 0) -> int:
    """Call another function that calls this one, without end."""
    return _the_other_half_of_a_recursion_without_end(depth + 1)


def _the_other_half_of_a_recursion_without_end(depth: int) -> int:
    return recurse(depth + 1)


def of_a_module_that_is_gone() -> None:
    """Raise an exception of which only this process has the class."""
    raise type("Gone", (Exception,), {"__module__": "module_that_is_gone"})(
        "with its module"
    )


def group() -> None:
    """Raise two exceptions, one with a note and one with a history, for a cause."""
    first = ValueError("the first")
    first.add_note("a note of the first")
    raise ExceptionGroup("two went wrong", [first, _second()]) from OSError("the cause")


def _second() -> Exception:
    try:
        try:
            1 / 0  # noqa: B018 - it is to raise
        except ZeroDivisionError:
            raise KeyError("the second")  # noqa: B904 - so that it has a context
    except KeyError as error:
        return error
