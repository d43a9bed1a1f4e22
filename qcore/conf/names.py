"""Names: what a queue, a cluster, a group or a task may be called.

Names enter at many places (a call, a schedule, a setting) and go through packages,
services and databases, some of which refuse NUL, lone surrogates or long texts. So they
are judged once, where they enter, and with these words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher

#: Characters of the name of a queue, and so of a cluster.
QUEUE = 255
#: Characters of the name of a task and of the label of a group. Stores shorten a name
#: of more than 100 characters and find it again; this bounds what a package carries.
LABEL = 1000
#: Characters of the name of somebody who asks for something, and of the reason.
WHO, REASON = 255, 500
#: How much of two names is the same where one is a misspelt other: three of four letters.
_NEAR = 0.75
_NUMBER = re.compile(r"[-_.:]?\d+")


def queue_fault(name: object) -> str:
    """Return what is wrong with the name of a queue or cluster; ``""`` if nothing is.

    The text continues a sentence that begins with what the name is for:
    ``is 5 (int), expected a text: '5'``.
    """
    return _fault(name, QUEUE)


def label_fault(name: object) -> str:
    """Return what is wrong with the name of a task or a group; ``""`` if nothing is."""
    return _fault(name, LABEL)


def note_fault(text: object, longest: int) -> str:
    """Return what is wrong with a text that people read; ``""`` if nothing is."""
    return "" if text == "" else _fault(text, longest)


def plain(name: str) -> str:
    """Return a name as a ``str`` and nothing more; Django's SafeString is a subclass."""
    return name if type(name) is str else str.__str__(name)


def _fault(name: object, longest: int) -> str:
    if not isinstance(name, str):
        return f"is {shown(name)}, expected a text{_as_text(name)}"
    if not name:
        return "is empty, expected a text of one character or more"
    if len(name) > longest:
        return f"has {len(name):,} characters, expected up to {longest}: {shown(name)}"
    if "\0" in name:
        return f"is {shown(name)}, expected a text without the character NUL"
    if not name.isascii() and not encodable(name):
        return f"is {shown(name)}, expected a text without lone surrogates"
    return ""


def near_queue(name: str, known: Iterable[str]) -> str:
    """Return `` - did you mean 'x'?`` for a name that is nearly one of ``known``.

    Any name is that of a queue, so that one of no setting is only suspected. Names that
    differ in their numbers alone (``shop-1``, ``shop-2``) are meant to.
    """
    known = list(known)
    if name in known:
        return ""
    near = next((one for one in known if _is_near(name, one)), None)
    return "" if near is None else f" - did you mean {near!r}?"


def _is_near(name: str, other: str) -> bool:
    """Whether one name is the other with a slip of the keyboard in it.

    Not whether they are alike: ``shop`` and ``shop-low`` are two queues.
    """
    one, two = (_NUMBER.sub("", text).casefold() for text in (name, other))
    if one == two:
        return name.casefold() == other.casefold()
    if abs(len(one) - len(two)) > 1:
        return False
    return sorted(one) == sorted(two) or SequenceMatcher(a=one, b=two).ratio() >= _NEAR


def encodable(text: str) -> bool:
    """Return whether a text can be written as UTF-8: lone surrogates cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(value: object) -> str:
    """Return a value and its type for an error message, whatever its ``repr`` does."""
    text = quoted(value)
    if value is None or text.startswith("an object of"):
        return text
    return f"{text} ({type(value).__name__})"


def quoted(value: object, limit: int = 60) -> str:
    """Return a value for an error message, in ASCII and shortened."""
    try:
        text = ascii(value)
    except Exception:  # noqa: BLE001 - a stranger's __repr__ may raise anything
        return f"an object of type {type(value).__name__}"
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _as_text(value: object) -> str:
    """Return what to write instead of a number: ``: '5'``."""
    return f": {str(value)!r}" if type(value) is int and abs(value) < 2**63 else ""
