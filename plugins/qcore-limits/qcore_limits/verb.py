"""List limits with what is held and parked, or change a limit while clusters run.

`list` shows each limit that the settings declare, that somebody has set or that
a task has named, and its keys in use. `set` changes a limit for all clusters at
once; options that are not given stay as they were. `reset` goes back to the
settings.
"""

from __future__ import annotations

import getpass
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any, TextIO

from qcore.cli.actions import add_action
from qcore.cli.exits import OK
from qcore.cli.output import add_json, complain, iso, write_json, write_lines
from qcore.errors import ConfigError, did_you_mean, sentence
from qcore.masking import mask_url

from .limit import Limit
from .setting import declared

if TYPE_CHECKING:
    from .overview import LimitInUse

HELP = "list limits and the tasks that wait under them, or change a limit while clusters run"
SCHEMA = "qcore.limits/1"
_EMPTY = (
    "There are no limits. Declare one in Q_CLUSTER['limits'], or name one with a task:"
    " limits=Limit(...)."
)
#: Keys of each limit that are listed, those with most waiting tasks first.
KEYS = 20


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of this verb."""
    add_action(parser, ("list", "set", "reset"), default="list")
    parser.add_argument("name", nargs="?", metavar="NAME", help="name of a limit")
    parser.add_argument(
        "--concurrency", metavar="N", help="set: tasks that run at once; none: no limit"
    )
    parser.add_argument(
        "--rate",
        metavar="RATE",
        help="set: starts in a time, such as 100/m; none: no limit",
    )
    parser.add_argument(
        "--burst", metavar="N", help="set: starts that may come together; none: 1"
    )
    add_json(parser)


def run(options: Namespace, out: TextIO) -> int:
    """List limits, or change one."""
    from qcore.runtime import current

    _require_tables()
    limits = declared(current.conf)
    if options.action == "list":
        refuse = [w for w in ("concurrency", "rate", "burst") if getattr(options, w)]
        if refuse:
            raise ConfigError(
                f"`qcore limits list` changes nothing; --{refuse[0]} is for set."
            )
        found = _found(options.name)
        if options.json:
            write_json(out, {"schema": SCHEMA, "limits": found})
        else:
            write_lines(out, _lines(found))
        return OK
    if options.name is None:
        raise ConfigError(
            f"`qcore limits {options.action}` expects the NAME of a limit."
        )
    if options.action == "set":
        known = {str(one["name"]) for one in _found(None)}
        _set(options, limits)
        if options.name not in known:
            complain(
                f"warning: nothing has named a limit {options.name!r} before"
                f"{did_you_mean(options.name, known)}; `qcore limits reset"
                f" {options.name}` takes it back\n"
            )
    else:
        _reset(options.name)
    # A limit that only `set` has named is gone after its reset.
    found = [one for one in _found(None) if one["name"] == options.name]
    if options.json:
        write_json(out, {"schema": SCHEMA, "limits": found})
    elif found:
        write_lines(out, _lines(found))
    else:
        write_lines(out, [f"{options.name}: nobody has a limit of this name now"])
    return OK


def _require_tables() -> None:
    from django.apps import apps
    from django.db import connections

    from qcore.runtime import current

    if current.ledger is None or not apps.is_installed("qcore_limits"):
        raise ConfigError(
            "limits need 'qcore' and 'qcore_limits' in INSTALLED_APPS. Add them and run:"
            " python manage.py migrate"
        )
    from .models import LimitKey

    name = current.ledger.database
    if LimitKey._meta.db_table not in connections[name].introspection.table_names():  # noqa: SLF001
        raise ConfigError(
            f"the tables of limits are missing in the database {name!r}. Run: python"
            f" manage.py migrate --database={name}"
        )


# -- changing ----------------------------------------------------------------------------
def _set(options: Namespace, limits: dict[str, Limit]) -> None:
    from .holding import refill
    from .models import LimitChange
    from .pacing import replan
    from .places import database, now

    rows = LimitChange.objects.using(database())
    before = rows.filter(name=options.name).first()
    old: Limit | LimitChange | None = before or limits.get(options.name)
    concurrency = _number(options.concurrency, "concurrency", old)
    rate, burst = _word(options.rate, old), _number(options.burst, "burst", old)
    if concurrency is None and rate is None:
        raise ConfigError(
            f"the limit {options.name!r} needs a --concurrency or a --rate that is not"
            " none. `qcore limits reset` goes back to the settings."
        )
    try:
        Limit(options.name, concurrency, rate, burst)
    except ValueError as error:
        raise ConfigError(f"`qcore limits set` expected {error}.") from None
    rows.update_or_create(
        name=options.name,
        defaults={
            "concurrency": concurrency,
            "rate": rate or "",
            "burst": burst,
            "changed": now(),
            "by": _user(),
        },
    )
    refill(options.name, now())
    replan(options.name)


def _number(given: str | None, name: str, old: object) -> int | None:
    if given is None:
        found: int | None = getattr(old, name, None)
        return found
    if given == "none":
        return None
    try:
        return int(given)
    except ValueError:
        raise ConfigError(
            f"--{name} expects a number or none, got {given!r}."
        ) from None


def _word(given: str | None, old: object) -> str | None:
    if given is None:
        return getattr(old, "rate", None) or None
    return None if given == "none" else given


def _reset(name: str) -> None:
    from .holding import refill
    from .models import LimitChange
    from .pacing import replan
    from .places import database, now

    rows = LimitChange.objects.using(database())
    deleted, _ = rows.filter(name=name).delete()
    if not deleted:
        near = sentence(did_you_mean(name, rows.values_list("name", flat=True)))
        raise ConfigError(
            f"nobody has set the limit {name!r}; nothing was changed{near}"
        )
    refill(name, now())
    replan(name)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user is in no list
        return ""


# -- listing -----------------------------------------------------------------------------
def _found(name: str | None) -> list[dict[str, Any]]:
    from .overview import first_keys, keys_in_use, limits_in_use

    found = {one.name: one for one in limits_in_use()}
    if name is not None:
        if name not in found:
            near = did_you_mean(name, found) or "."
            raise ConfigError(
                f"there is no limit {name!r}{near} There are: {', '.join(found) or 'none'}."
            )
        found = {name: found[name]}
    its: dict[str, list[dict[str, Any]]] = {one: [] for one in found}
    for key in keys_in_use(first_keys(list(found), KEYS)):
        its[key.row.name].append({"key": mask_url(key.row.label), **key.numbers()})
    return [_limit(one, its[one.name]) for one in found.values()]


def _limit(one: LimitInUse, its: list[dict[str, Any]]) -> dict[str, Any]:
    change = one.change
    return {
        "name": one.name,
        **one.numbers(),
        "key": None if one.limit is None else one.limit.key,
        "declared": one.declared(),
        "set": None
        if change is None
        else {"at": iso(change.changed), "by": change.by or None},
        "key_count": one.key_count,
        "keys": its,
    }


def _lines(found: list[dict[str, Any]]) -> list[str]:
    from qcore.monitor.text import table

    if not found:
        return [_EMPTY]
    lines = []
    for one in found:
        said = [
            f"{word} {one[word]}"
            for word in ("concurrency", "rate", "burst")
            if one[word] is not None
        ]
        told = ", ".join(said) or "as its tasks say"
        by = "" if one["set"] is None else f" (set by {one['set']['by'] or 'somebody'})"
        lines.append(f"{one['name']}: {told}{by}")
        if not one["keys"]:
            lines.append("  no task has come under it yet")
            continue
        columns = ("key", "held", "reserved", "parked", "later", "oldest")
        rows = [
            [
                *(str(key[column]) for column in columns[:-1]),
                "-" if (waited := key["oldest_seconds"]) is None else f"{waited:.0f} s",
            ]
            for key in one["keys"]
        ]
        lines += [f"  {line}" for line in table([list(columns), *rows])]
        if one["key_count"] > len(one["keys"]):
            lines.append(f"  and {one['key_count'] - len(one['keys']):,} more keys")
    return lines
