"""Tracebacks: what ``traceback.format_exception`` writes, in an eighth of its time.

A task that fails again and again passes the same places of the same code. So the text of
each place is kept, with its line of source and the marks below it. Python writes it anew
each time, and asks the disc for each file whether it has changed: 42 µs for two frames,
of the 130 µs that a short task takes altogether.
"""

from __future__ import annotations

import sys
import traceback
from types import CodeType, TracebackType

#: Frames of a traceback, at most, that is written here.
_MOST_FRAMES = 40
#: Places whose text is kept.
_MOST_PLACES = 1024

#: Errors of which Python says more than class and message: from the names around, for
#: example, or from several tracebacks.
_SPECIAL = (
    AttributeError,
    BaseExceptionGroup,
    ImportError,
    NameError,
    SyntaxError,
)

#: The text of each place, with its code: so that the number of the code is not used again.
_texts: dict[tuple[int, int, int | None], tuple[CodeType, str]] = {}


def text_of(error: BaseException, trace: TracebackType | None) -> str:
    """Return what ``traceback.format_exception`` returns for an error, as one text.

    A line of source is shown as it was when an error first passed there.

    Args:
        error: the error.
        trace: where its traceback begins.

    Raises:
        Exception: what a ``__str__`` of a project raises, for example.
    """
    if (
        error.__cause__ is None
        and (error.__context__ is None or error.__suppress_context__)
        and not isinstance(error, _SPECIAL)
        and trace is not None
        and getattr(sys, "tracebacklimit", None) is None
        and (frames := _frames(trace))
    ):
        last = _last_line(error)
        return "".join(["Traceback (most recent call last):\n", *frames, last])
    return "".join(traceback.format_exception(type(error), error, trace))


def _last_line(error: BaseException) -> str:
    """Return what ``traceback.format_exception_only`` does, for the usual kind of error.

    That makes an object with the attributes of all kinds first: a third of the whole text.
    """
    kind = type(error)
    module: object = kind.__module__  # a class may set it to anything
    if not isinstance(module, str) or hasattr(error, "__notes__"):
        return "".join(traceback.format_exception_only(error))
    name = kind.__qualname__
    if module not in ("builtins", "__main__"):
        name = f"{module}.{name}"
    try:
        said = str(error)
    except Exception:  # noqa: BLE001 - Python has words for it
        return "".join(traceback.format_exception_only(error))
    return f"{name}: {said}\n" if said else f"{name}\n"


def _frames(trace: TracebackType) -> list[str]:
    """Return the text of each frame; none where Python writes them another way."""
    found: list[str] = []
    last: tuple[str, int, str] | None = None
    step: TracebackType | None = trace
    while step is not None:
        code = step.tb_frame.f_code
        line = code.co_filename, step.tb_lineno, code.co_name
        # of frames of one line that follow each other, Python counts those after the third
        if len(found) >= _MOST_FRAMES or line == last:
            return []
        found.append(_text_at(step))
        last, step = line, step.tb_next
    return found


def _text_at(step: TracebackType) -> str:
    code = step.tb_frame.f_code
    place = (id(code), step.tb_lasti, step.tb_lineno)
    kept = _texts.get(place)
    if kept is None:
        if len(_texts) >= _MOST_PLACES:
            _texts.clear()
        _texts[place] = kept = code, "".join(traceback.format_tb(step, 1))
    return kept[1]
