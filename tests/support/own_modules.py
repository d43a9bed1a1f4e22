"""A module of Python that one module of ours has for itself, with some of it changed.

``monkeypatch.setattr(time, "sleep", …)`` changes the clock of the whole process: threads of
drivers, of the kit and of other tests sleep, too, and a list of what was slept has theirs in
it. tests/test_shared_state.py finds such patches.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest


def give_own(
    monkeypatch: pytest.MonkeyPatch,
    user: ModuleType,
    name: str,
    /,
    *,
    without: Iterable[str] = (),
    **changes: Any,
) -> None:
    """Change what one module sees of another, for the length of a test.

    Args:
        monkeypatch: of the test.
        user: the module under test.
        name: how the module under test calls the other one, such as "time".
        without: names that the other module shall not have.
        changes: what it shall have instead.
    """
    there = dict(vars(getattr(user, name)))
    for one in without:
        there.pop(one, None)
    monkeypatch.setattr(user, name, SimpleNamespace(**there | changes))
