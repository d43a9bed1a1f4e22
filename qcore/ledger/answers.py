"""Answers: what a plugin says at the claim of tasks, checked before it counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..envelope import Outcome
from ..errors import PluginBroken
from ..features import Admission, Claim, Drop, Later, Park, Release, Run

#: The outcomes with which a plugin may end a task that never runs.
_DROPPED = frozenset(Outcome) - {Outcome.SUCCESS, Outcome.STOPPED}

#: Seconds for which a plugin may put a task off.
_LONGEST = 1e9


def answers_of(
    name: str, hook: Callable[..., Any], claims: Sequence[Claim]
) -> list[Admission]:
    """Return the answers of one plugin.

    Raises:
        PluginBroken: they are no answers to these claims.
    """
    found: Any = hook(claims=claims)
    where = f"the plugin {name!r}: qcore_admit()"
    if not isinstance(found, (list, tuple)) or len(found) != len(claims):
        raise PluginBroken(
            f"{where} must return a list with one answer for each of {len(claims)} claims,"
            f" got {_sized(found)}"
        )
    for answer in found:
        if isinstance(answer, Drop):
            if answer.outcome not in _DROPPED:
                raise PluginBroken(
                    f"{where}: a task cannot be dropped with the outcome"
                    f" {answer.outcome!r}; expected one of {', '.join(sorted(_DROPPED))}"
                )
        elif isinstance(answer, (Later, Release)):
            if not _is_time(answer.after):
                raise PluginBroken(
                    f"{where}: expected after=seconds, 0 or more, got {answer!r}"
                )
        elif not isinstance(answer, (Run, Park)):
            raise PluginBroken(
                f"{where}: an answer must be RUN, RUN_HOLDING, or a Drop, Later, Park or"
                f" Release of qcore, got {answer!r}"
            )
    return list(found)


def _is_time(value: object) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and 0 <= value <= _LONGEST  # type: ignore[operator]


def _sized(found: object) -> str:
    kind = type(found).__name__
    return (
        f"a {kind} of {len(found)}" if isinstance(found, (list, tuple)) else f"{kind}"
    )
