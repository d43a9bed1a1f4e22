"""Unique: which tasks are the same, for how long, and what becomes of the second one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from qcore.serializers import get_serializer

from .template import check_template, fill
from .words import made, near_word

if TYPE_CHECKING:
    from qcore import NewTask

During = Literal["waiting", "until_done"] | float
OnConflict = Literal["skip", "replace", "raise"]

#: Seconds, nearly 32 years: as the options of qcore itself.
LONGEST = 1_000_000_000
#: Seconds after which a key is free even if nobody has heard how its task ended: the task
#: may have gone with its queue.
LAST_RESORT = 14 * 86_400.0
#: Seconds until somebody looks what has become of a task that is sent only after the success
#: of another one.
UNSENT = 300.0

_DURING = "during='waiting', 'until_done' or seconds > 0"
_CONFLICTS = ["skip", "replace", "raise"]
_ON_CONFLICT = "on_conflict='skip', 'replace' or 'raise'"
_EXPECTED = (
    "True, a template of the key such as 'order:{order_id}', or a qcore_limits.Unique"
)


@dataclass(frozen=True, slots=True)
class Unique:
    """How a task is unique.

    Args:
        key: True means the function with these arguments. A text is a template that is
            filled with the arguments by their names: ``"order:{order_id}"``. The same key
            of two functions is one key.
        during: how long the task keeps the key: "waiting", until it begins; "until_done",
            until it has ended and is not tried again; or so many seconds from its sending,
            whatever becomes of it.
        on_conflict: what becomes of a task whose key is taken: "skip", it is not sent and
            the caller gets the id of the task that has the key; "replace", it takes the
            key, and the other one is dropped unless it has begun; "raise", the caller gets
            an ``EnqueueError``.

    Raises:
        ValueError: a value that is none of these.
    """

    key: str | Literal[True] = True
    during: During = "until_done"
    on_conflict: OnConflict = "skip"

    def __post_init__(self) -> None:
        """Refuse values that contradict each other."""
        if self.key is not True:
            if not self.key:
                raise ValueError(_EXPECTED)
            check_template(self.key)
        if not _is_during(self.during):
            near = near_word(self.during, ["waiting", "until_done"])
            raise ValueError(f"{_DURING}, got {self.during!r}{near}")
        if self.on_conflict not in _CONFLICTS:
            near = near_word(self.on_conflict, _CONFLICTS)
            raise ValueError(f"{_ON_CONFLICT}, got {self.on_conflict!r}{near}")

    @property
    def kind(self) -> str:
        """Which of the three spans ``during`` is: "waiting", "until_done" or "seconds"."""
        return self.during if isinstance(self.during, str) else "seconds"

    @property
    def term(self) -> float:
        """Seconds from the sending after which the key is free in any case."""
        return LAST_RESORT if isinstance(self.during, str) else float(self.during)

    def term_after(self, delay: float, *, is_sent: bool = True) -> float:
        """Return the term of a task that is sent with a delay, in seconds.

        It does not begin before its delay is over; a time in seconds counts from the sending.

        Args:
            delay: seconds before the task may run.
            is_sent: whether it is sent now, and not after the success of another task.
        """
        if not is_sent and isinstance(self.during, str):
            return UNSENT
        return self.term + (delay if isinstance(self.during, str) else 0.0)


def _is_during(value: object) -> bool:
    if isinstance(value, str):
        return value in ("waiting", "until_done")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return 0 < value <= LONGEST  # nan is not between any two numbers


def read_unique(value: Any) -> dict[str, Any] | None:
    """Return the option as plain data; None where it says nothing.

    Raises:
        ValueError: with what was expected.
    """
    if value is None or value is False:
        return None
    if value is True or isinstance(value, str):
        return asdict(Unique(key=value))
    if isinstance(value, Unique):
        return asdict(value)
    if isinstance(value, Mapping):  # as a schedule has stored it
        return asdict(made(Unique, value, _EXPECTED))
    raise ValueError(_EXPECTED)


# -- keys --------------------------------------------------------------------------------
def key_of(new: NewTask, unique: Unique) -> str:
    """Return the key of a task.

    Raises:
        EnqueueError: the template names what is no argument of the function, or the value
            of an argument has no text.
    """
    if unique.key is True:
        args, kwargs = new.call()
        call = [args, sorted(kwargs.items())]
        data = get_serializer(new.task.content).dumps(call)
        return f"{new.task.func} {digest(data)}"
    return fill(unique.key, new)


def digest(data: bytes | str) -> str:
    """Return 32 hexadecimal digits by which a key is known."""
    data = data.encode(errors="surrogatepass") if isinstance(data, str) else data
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def shown(key: str) -> str:
    """Return a key as its column has it: in ASCII, without NUL, and shortened."""
    text = key.encode("ascii", "backslashreplace").decode().replace("\0", r"\x00")
    return text if len(text) <= 255 else f"{text[:252]}..."
