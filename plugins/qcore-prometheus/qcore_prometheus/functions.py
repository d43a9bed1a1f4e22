"""The names of functions as values of a label, of which there is a bounded number.

Each value of a label makes series of its own, which Prometheus keeps for weeks. A project
with names that users make up would fill its disk.
"""

from __future__ import annotations

from collections.abc import Sequence

#: The value for all functions that have no label of their own.
OTHER = "other"
#: Functions that get a label where the project names none.
MOST = 100


class Functions:
    """Chooses the label of a function.

    Args:
        named: the functions that have a label; None: the first ``MOST`` that are seen.
    """

    def __init__(self, named: Sequence[str] | None = None) -> None:
        self._known = set(named or ())
        self._is_open = named is None

    def label(self, function: str) -> str:
        """Return the value of the label ``function``."""
        if function in self._known:
            return function
        if self._is_open and len(self._known) < MOST:
            self._known.add(function)
            return function
        return OTHER
