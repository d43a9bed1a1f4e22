"""Fingerprints: which failures have the same cause.

The fingerprint of a failed attempt is a digest of how it ended, the class of the exception,
and where in the project's own code the exception passed. Numbers of lines, folders above
the package and the message are left out: a deploy, another order and another user do
not make another error. Where no frame is the project's, as after the death of a worker, the
message takes the place of the frames, without what differs from task to task.
"""

from __future__ import annotations

import functools
import hashlib
import re
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from ..envelope import Outcome

if TYPE_CHECKING:
    from ..envelope import Result

#: The outcomes of attempts that have failed; the last attempt of a dead task has one of
#: them. What was cancelled, say, has ended as somebody wished.
FAILED = frozenset({Outcome.FAILURE, Outcome.TIMEOUT, Outcome.CRASH})

#: Digits of a fingerprint: of 10,000 errors, two have the same with a chance of 1 in 5
#: million.
DIGITS = 12

#: Characters of a message that count.
_MESSAGE = 300

_HEADS = (
    "Exception Group Traceback (most recent call last):",
    "Traceback (most recent call last):",
)
_FRAME = re.compile(r'^[ |+-]*File "([^"\n]+)", line \d+, in ([^\n]+)$', re.MULTILINE)

#: What differs from task to task -> what stands for it. In this order.
_DIFFERS = (
    (re.compile(r"https?://\S+"), "<url>"),
    (re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+"), "<address>"),
    (re.compile(r"'[^'\n]*'|\"[^\"\n]*\""), "<text>"),
    # of eight digits and more, one of 0 to 9 at least: "deadbeef" may be a word
    (re.compile(r"\b(?=[0-9a-f-]*\d)[0-9a-f]{8}[0-9a-f-]*\b", re.IGNORECASE), "<id>"),
    (re.compile(r"0x[0-9a-f]+", re.IGNORECASE), "<number>"),
    (re.compile(r"\d+(?:[.,:]\d+)*"), "<number>"),
)

#: Folders of code that is not the project's: Python's own, and qcore.
_OTHERS = tuple(
    f"{folder.rstrip('/')}/"
    for folder in {
        *(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib")),
        str(Path(__file__).parents[1]),
    }
)
_INSTALLED = ("/site-packages/", "/dist-packages/")


def fingerprint_of(result: Result) -> str | None:
    """Return the fingerprint of a failed attempt; None of any other end.

    Args:
        result: how an attempt has ended.

    Returns:
        ``DIGITS`` hexadecimal digits.
    """
    if result.outcome not in FAILED:
        return None
    text = result.value.decode(errors="replace")
    first = text.partition("\n")[0]
    kind = result.error or normalised(first.partition(":")[0])
    where = own_frames(text) or [normalised(first)]
    said = "\n".join([result.outcome, kind, *where])
    digest = hashlib.blake2b(said.encode(errors="replace"), digest_size=DIGITS // 2)
    return digest.hexdigest()


def own_frames(text: str) -> list[str]:
    """Return the frames of a project in the text of an error, each once.

    Args:
        text: of the error, with its traceback. Of several tracebacks, as of an
            exception and its cause, the last one counts.

    Returns:
        ``folder/module.py:function`` of each frame, the outermost first.
    """
    start = max(text.rfind(head) for head in _HEADS)
    if start < 0:
        return []
    group = text.rfind(_HEADS[0])
    frames = _FRAME.findall(text, group if group >= 0 else start)
    tails = [(_own_tail(path), name) for path, name in frames]
    return list(dict.fromkeys(f"{tail}:{name}" for tail, name in tails if tail))


def normalised(message: str) -> str:
    """Return a message without numbers, ids, addresses and quoted texts."""
    message = message[:_MESSAGE]
    for pattern, word in _DIFFERS:
        message = pattern.sub(word, message)
    return message


@functools.lru_cache(maxsize=1024)
def _own_tail(path: str) -> str:
    """Return the tail of a path of the project's; "" of another. The same few come again."""
    return _tail(path) if _is_own(path) else ""


def _is_own(path: str) -> bool:
    if path.startswith("<") or any(folder in path for folder in _INSTALLED):
        return False
    return not path.startswith(_OTHERS)


def _tail(path: str) -> str:
    """Return the last two parts of a path: those above differ from deploy to deploy."""
    return "/".join(path.replace("\\", "/").split("/")[-2:])
