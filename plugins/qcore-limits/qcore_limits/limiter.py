"""Limiter: where the token buckets of rates are kept.

By default a bucket is part of the row of its key, in the database of the ledger. The
setting ``limiter`` names another one: by the name of an entry point in the group
``qcore.limiters``, or by the dotted path of a class. Such a class needs no base class of ours:
it is made with the settings, and has the two methods of `Limiter`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from qcore.errors import INTERRUPTS, ConfigError, PluginBroken, did_you_mean, sentence

if TYPE_CHECKING:
    from qcore.conf import Conf

    from .models import LimitKey

#: Entry points of limiters: the name is a value of the setting.
GROUP = "qcore.limiters"
#: What a bucket may lack for a whole start: the last digit of a number.
NEARLY = 1e-3


class Bucket(NamedTuple):
    """What is asked of one bucket."""

    key: str
    """32 hexadecimal digits."""
    pace: float
    """Seconds between two starts."""
    burst: int
    """Starts that it can have, at most; a new bucket has them all."""
    most: int
    """Starts that are wanted; 0: nothing is taken."""


class Limiter(Protocol):
    """Keeps token buckets, for all clusters of a project."""

    def draw(self, buckets: Sequence[Bucket]) -> list[float]:
        """Take starts out of some buckets, all of them at one moment.

        Returns:
            How many starts each bucket had, with the part of the next one that it has gained
            by now. Of these, as many whole ones are taken as were wanted and there.

        Raises:
            QcoreError: nothing can be said now, and nothing is known to be taken. Tasks under
                a rate wait.
        """
        ...

    def give_back(self, starts: Mapping[str, int]) -> None:
        """Put starts back that were taken and not made, by the keys of their buckets.

        Raises:
            QcoreError: they are lost. So a rate is never exceeded.
        """
        ...


def taken_of(found: float, bucket: Bucket) -> int:
    """Return how many starts a draw takes out of a bucket that has so many."""
    return max(0, min(bucket.most, int(found + NEARLY)))


class RowLimiter:
    """The limiter of the database: buckets are in the rows of keys, which are locked."""

    def __init__(self, rows: Mapping[str, LimitKey], now: float) -> None:
        """Work on some rows; the caller writes those that change.

        Args:
            rows: by their digests.
            now: by the clock of the database.
        """
        self._rows, self._now = rows, now

    def draw(self, buckets: Sequence[Bucket]) -> list[float]:
        """See `Limiter`."""
        found = []
        for bucket in buckets:
            row = self._rows[bucket.key]
            passed = max(0.0, self._now - row.filled)
            tokens = min(float(bucket.burst), row.tokens + passed / bucket.pace)
            found.append(tokens)
            if bucket.most:
                row.tokens = max(0.0, tokens - taken_of(tokens, bucket))
                row.filled = self._now
        return found

    def give_back(self, starts: Mapping[str, int]) -> None:
        """See `Limiter`; the next draw takes away what is over the burst."""
        for mark, count in starts.items():
            if (row := self._rows.get(mark)) is not None:
                row.tokens += count


# -- the one of the settings ---------------------------------------------------------------
def load(name: str) -> Any:
    """Return what makes the limiter that the setting names.

    Raises:
        ConfigError: there is none.
        PluginBroken: it cannot be imported, or is none.
    """
    try:
        found = _imported(name)
    except (ConfigError, *INTERRUPTS):
        raise
    except BaseException as error:  # what a module raises on import may be anything
        raise PluginBroken(
            f"Q_CLUSTER['limiter'] is {name!r}, which cannot be imported:"
            f" {type(error).__name__}: {error}"
        ) from error
    lacking = [word for word in ("draw", "give_back") if not hasattr(found, word)]
    if lacking or not callable(found):
        raise PluginBroken(
            f"Q_CLUSTER['limiter'] is {name!r}, which is no limiter: it is expected to be a"
            f" class with the methods draw and give_back"
        )
    return found


def _imported(name: str) -> Any:
    from importlib.metadata import entry_points

    if "." in name:
        module, _, attribute = name.rpartition(".")
        return getattr(import_module(module), attribute)
    points = {point.name: point for point in entry_points(group=GROUP)}
    if name in points:
        return points[name].load()
    near = did_you_mean(name, points)
    told = sentence(
        f"Q_CLUSTER['limiter'] is {name!r}, and no limiter of that name is installed"
        f" (installed: {', '.join(sorted(points)) or 'none'}){near}"
    )
    raise ConfigError(
        f"{told} Expected one of these names, the dotted path of a class, or None for the"
        " database."
    )


_local = threading.local()


def limiter_of(conf: Conf) -> Limiter | None:
    """Return this thread's limiter for the settings; None: the database is the limiter.

    Raises:
        ConfigError, PluginBroken: it cannot be had.
    """
    name = conf.options.get("limiter")
    if name is None:
        return None
    mark = os.getpid(), name
    made: tuple[Any, Conf, Limiter] | None = getattr(_local, "made", None)
    if made is None or made[0] != mark or made[1] is not conf:
        _local.made = made = mark, conf, load(name)(conf)
    return made[2]
