"""Cron expressions: five fields, names, ranges and aliases, in words people can act on.

cronsim does the arithmetic, by the rules of Debian's cron: a job at a fixed time that
falls into the gap of a clock change runs when the gap ends, and one in the repeated
hour runs once. This module adds the aliases, and errors that name field and value.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator

from cronsim import CronSim, CronSimError

from ..conf.names import quoted
from ..errors import ConfigError, did_you_mean

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_MONTHS: tuple[str, ...] = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN")
_MONTHS += ("JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
# Each field as cronsim calls it: lowest and highest value, and names for values.
_FIELDS: dict[str, tuple[int, int, tuple[str, ...]]] = {
    "minute": (0, 59, ()),
    "hour": (0, 23, ()),
    "day-of-month": (1, 31, ()),
    "month": (1, 12, _MONTHS),
    "day-of-week": (0, 7, _DAYS),
}
_DIGITS = re.compile("[0-9]{1,9}")


def validate_cron(text: str) -> None:
    """Return if ``text`` is a cron expression with slots, or raise ConfigError.

    The message names the field and what it expects:
    ``cron '61 * * * *': minute 61 is out of range 0-59``.
    """
    expression = expand(text)
    parts = expression.split()
    if len(parts) != len(_FIELDS):
        seconds = "; there is no field for seconds" if len(parts) == 6 else ""
        fields = " ".join(_FIELDS)
        raise ConfigError(
            f"cron {quoted(text, 100)}: {len(parts)} fields, expected 5 ({fields}){seconds}"
        )
    if _is_good(expression):
        return
    for name, part in zip(_FIELDS, parts, strict=True):
        if not _is_good(" ".join(part if name == f else "*" for f in _FIELDS)):
            raise ConfigError(
                f"cron {quoted(text, 100)}: {_complaint(name, part.upper())}"
            )
    day, month = parts[2], parts[3]
    raise ConfigError(
        f"cron {quoted(text, 100)}: day-of-month {day} never comes in month {month}"
    )


def expand(text: str) -> str:
    """Return ``text`` with an alias such as ``@daily`` replaced by its five fields."""
    if not isinstance(text, str):
        raise ConfigError(
            f"cron {quoted(text, 100)}: expected text such as '0 3 * * *'"
        )
    text = text.strip()
    if not text.startswith("@"):
        return text
    try:
        return ALIASES[text.lower()]
    except KeyError:
        near = did_you_mean(text.lower(), ALIASES)
        known = ", ".join(ALIASES)
        raise ConfigError(
            f"cron {quoted(text, 100)}: expected one of {known}{near}"
        ) from None


def slots(text: str, after: dt.datetime) -> Iterator[dt.datetime]:
    """Yield the slots of a valid expression, in the zone of ``after``.

    Around a clock change the first one may lie before ``after``: compare in UTC.
    """
    return CronSim(expand(text), after)


def explain(text: str) -> str:
    """Return a valid expression in words, as cronsim puts it."""
    return CronSim(expand(text), dt.datetime(2000, 1, 1)).explain()


def _is_good(expression: str) -> bool:
    try:
        # 2000 begins a cycle of 28 years, in which all dates meet all weekdays.
        next(CronSim(expression, dt.datetime(2000, 1, 1)))
    except (CronSimError, StopIteration, ValueError):  # int() of 5000 digits
        return False
    return True


def _complaint(name: str, part: str) -> str:
    """Say what is wrong with a field that cronsim refuses: the first bad term."""
    low, high, names = _FIELDS[name]
    for term in part.split(","):
        base, slash, step = term.partition("/")
        if slash and not (_DIGITS.fullmatch(step) and int(step)):
            return (
                f"{name} step {quoted(step)} in {quoted(term)} is not a positive number"
            )
        base, hash_, nth = base.partition("#")
        if hash_ and name == "day-of-week" and nth not in ("1", "2", "3", "4", "5"):
            return (
                f"{name} {quoted(term)} asks for week {quoted(nth)}, expected #1 to #5"
            )
        values = []
        for word in [] if base in ("*", "L", "LW") else base.split("-"):
            if word in names:
                values.append(low + names.index(word))
            elif not _DIGITS.fullmatch(word):
                known = f" or {names[0]}-{names[-1]}" if names else ""
                near = did_you_mean(word, names)
                return f"{name} {quoted(term)} is not one of {low}-{high}{known}{near}"
            elif not low <= int(word) <= high:
                return f"{name} {word} is out of range {low}-{high}"
            else:
                values.append(int(word))
        if values != sorted(values):
            return f"{name} range {base} runs backwards"
    return f"{name} {quoted(part)} is not understood, expected {low}-{high}"
