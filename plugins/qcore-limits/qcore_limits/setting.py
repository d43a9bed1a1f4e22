"""The setting ``limits``: those that tasks can name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qcore import Setting

from .limit import MOST_BURST, MOST_PLACES, Limit, seconds_between
from .template import check_template

if TYPE_CHECKING:
    from qcore.conf import Conf


def declared(conf: Conf) -> dict[str, Limit]:
    """Return the limits that ``Q_CLUSTER['limits']`` declares, by their names."""
    found = conf.options.get("limits") or {}
    return {name: Limit(name, **words) for name, words in found.items()}


def _is_declaration(value: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a value declares limits; ValueError names the one that is wrong."""
    for name, words in value.items():
        try:
            Limit(name, **words)
        except ValueError as error:
            raise ValueError(str(error), name) from None
    return True


def _is_rate(value: str) -> bool:
    return seconds_between(value) > 0  # or it raises


def _is_template(value: str) -> bool:
    check_template(value)  # or it raises
    return True


LIMITER = Setting(
    "limiter",
    str | None,
    "Where the rates of limits are counted: the name of a limiter that a plugin provides,"
    " such as 'redis', or the dotted path of a class. None: in the database of the ledger.",
    minimum=1,
    expects="a name, a dotted path or None",
    group="tasks",
)
SETTING = Setting(
    "limits",
    dict[str, dict[str, Any]],
    "The limits that tasks can name, by their names; with the words of"
    " `qcore_limits.Limit`.",
    default={},
    group="tasks",
    check=_is_declaration,
    expects="limits by their names, such as"
    " {'smtp': {'concurrency': 4, 'rate': '100/m', 'burst': 20, 'key': '{tenant}'}}",
    each=(
        Setting(
            "concurrency",
            int | None,
            "Tasks that run at once, at most. None: no limit.",
            minimum=1,
            maximum=MOST_PLACES,
        ),
        Setting(
            "rate",
            str | None,
            "Starts in a time, at most: '100/m', '5/10s', with the units s, m, h and d."
            " None: no limit.",
            check=_is_rate,
        ),
        Setting(
            "burst",
            int | None,
            "Starts that may come together after a pause. None: 1, which spreads the"
            " starts evenly.",
            minimum=1,
            maximum=MOST_BURST,
        ),
        Setting(
            "key",
            str | None,
            "A template of names of arguments, such as '{customer}': each key has a limit"
            " of its own. None: one limit for all tasks that name it.",
            check=_is_template,
        ),
    ),
)
