"""Show batches and graphs, cancel them, or send their failed members again.

Without an id the newest are listed. With one, the batch or graph is shown with its
members: all of them with --members, else those that failed. With --node, --cancel and --retry
act on some nodes of a graph, and with --below also on all that wait for these nodes.
"""

from __future__ import annotations

import datetime as dt
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any, TextIO

from qcore.cli.exits import OK, UNHEALTHY
from qcore.cli.output import add_json, iso, write_json, write_lines
from qcore.errors import CallError, ConfigError
from qcore.monitor.text import table

if TYPE_CHECKING:
    from .status import FlowStatus, MemberStatus

HELP = "show, cancel and retry batches and graphs"
SCHEMA = "qcore.flows/1"

#: Flows that are listed, and members that are shown, unless --limit says otherwise.
FEW = 100


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument(
        "id",
        metavar="ID",
        nargs="?",
        help="id of a batch or graph: 32 hexadecimal digits",
    )
    parser.add_argument(
        "--members",
        action="store_true",
        help="show all members, not only those that failed",
    )
    parser.add_argument(
        "--limit",
        type=int,
        default=FEW,
        metavar="N",
        help=f"batches and graphs, or members, that are shown (default: {FEW})",
    )
    parser.add_argument(
        "--node",
        action="append",
        default=[],
        metavar="TASK",
        dest="nodes",
        help="with --cancel or --retry: only this node of a graph, by the id of its task;"
        " several may be given",
    )
    parser.add_argument(
        "--below",
        action="store_true",
        help="with --node: also the nodes that wait for it, and those that wait for them",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--cancel", action="store_true", help="cancel the members that have not ended"
    )
    what.add_argument(
        "--retry", action="store_true", help="send the failed members again"
    )
    add_json(parser)


def run(options: Namespace, out: TextIO) -> int:
    """Show or do it; 3 says that there is no such batch or graph."""
    require_tables("qcore flows")
    if options.limit < 1:
        raise ConfigError(f"--limit is {options.limit}, expected 1 or more.")
    if options.below and not options.nodes:
        raise ConfigError("--below needs --node, which says below which node.")
    if options.id is None:
        for word in ("cancel", "retry", "members", "node"):
            if getattr(options, "nodes" if word == "node" else word):
                raise ConfigError(
                    f"--{word} needs the ID of a batch or graph. `qcore flows` lists them."
                )
        document = listing(options.limit)
    else:
        if options.nodes and not (options.cancel or options.retry):
            raise ConfigError("--node needs --cancel or --retry.")
        document = look(options)
    if options.json:
        write_json(out, document)
    else:
        write_lines(out, render(document, options.id))
    return UNHEALTHY if options.id is not None and not document["flows"] else OK


def require_tables(verb: str) -> None:
    """Refuse a verb where there is nothing that it could show.

    Args:
        verb: such as ``"qcore flows"``.

    Raises:
        ConfigError: the app is not installed, or its tables are missing.
    """
    from django.apps import apps
    from django.db import connections

    if not apps.is_installed("qcore_flows"):
        raise ConfigError(
            f"`{verb}` needs the app of qcore-flows. Add 'qcore_flows' to"
            " INSTALLED_APPS, and run: python manage.py migrate"
        )
    from .models import FlowRow
    from .tables import place

    name = place().database
    if FlowRow._meta.db_table not in connections[name].introspection.table_names():  # noqa: SLF001
        raise ConfigError(
            f"the tables of batches and graphs are missing in the database {name!r}. Run:"
            f" python manage.py migrate --database={name}"
        )


def listing(limit: int) -> dict[str, Any]:
    """Return the newest flows, of the schema ``qcore.flows/1``."""
    from .status import list_flows

    return _document([_of_flow(one) for one in list_flows(limit)])


def look(options: Namespace) -> dict[str, Any]:
    """Return one flow with its members, after what is to be done to it.

    Raises:
        ConfigError: the id is none.
        CallError: a node is none of this graph, or cannot be cancelled or sent again now.
    """
    from .option import is_id
    from .status import find, list_members, of_row

    if not is_id(options.id):
        raise ConfigError(
            f"{options.id!r} is no id of a batch or graph: expected 32 hexadecimal digits"
            " in lower case. A name is not enough."
        )
    row = find(options.id)
    if row is None:
        return _document([])
    done = _act(options, row.kind)
    row = find(options.id)
    if row is None:
        return _document([])
    some = list_members(options.id, failed=not options.members)
    members = [_of_member(one) for one in islice(some, options.limit)]
    return _document([_of_flow(of_row(row))], members, **done)


def _act(options: Namespace, kind: str) -> dict[str, int | None]:
    """Cancel or send again what the options say; return how many members that were."""
    from .repair import cancel, cancel_members, retry, retry_members

    id, nodes, below = options.id, options.nodes, options.below
    done: dict[str, int | None] = {"cancelled": None, "retried": None}
    if nodes and kind != "graph":
        raise CallError(
            f"{id} is a {kind} and has no nodes. Cancel or retry its members by their tasks:"
            f" qcore {'cancel' if options.cancel else 'retry'} TASK"
        )
    if options.cancel:
        done["cancelled"] = (
            cancel_members(id, nodes, and_below=below) if nodes else cancel(id)
        )
    elif options.retry:
        done["retried"] = (
            retry_members(id, nodes, and_below=below) if nodes else retry(id)
        )
    return done


def _document(
    flows: list[dict[str, Any]],
    members: list[dict[str, Any]] | None = None,
    *,
    cancelled: int | None = None,
    retried: int | None = None,
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "flows": flows,
        "members": members,
        "cancelled": cancelled,
        "retried": retried,
    }


def _of_flow(one: FlowStatus) -> dict[str, Any]:
    moments = {"created": iso(one.created), "completed": iso(one.completed)}
    return {**asdict(one), **moments, "share": round(one.share, 4)}


def _of_member(one: MemberStatus) -> dict[str, Any]:
    found = {**asdict(one), "sent": iso(one.sent), "ended": iso(one.ended)}
    del found["number"]
    return found


# -- for people ------------------------------------------------------------------------------
def render(document: dict[str, Any], id: str | None) -> list[str]:
    """Return what people see of a document."""
    flows = document["flows"]
    if not flows:
        if id is None:
            return ["No batch and no graph was sent, or all were pruned."]
        return [f"{id}: there is no such batch or graph, or it was pruned."]
    if id is None:
        return table([_HEADINGS, *map(_row, flows)], indent="")
    return list(_one(document, flows[0]))


_HEADINGS = ("ID", "KIND", "STATE", "ENDED", "FAILED", "SKIPPED", "CREATED", "NAME")


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    ended = f"{one['total'] - one['pending']:,} of {one['total']:,}"
    numbers = [f"{one[word]:,}" for word in ("failed", "skipped")]
    created = short(one["created"])
    return (
        *(one["id"], one["kind"], one["state"], ended, *numbers, created),
        one["name"],
    )


def _one(document: dict[str, Any], one: dict[str, Any]) -> Iterable[str]:
    from .status import members_are

    yield f"{one['id']}  {one['kind']}  {one['name']}"
    yield f"  state      {one['state']}, {one['share']:.0%} done"
    for word in ("total", "pending", "succeeded", "failed", "skipped"):
        yield f"  {word:<9}  {one[word]:,}"
    yield f"  created    {short(one['created'])}"
    if one["completed"] is not None:
        yield f"  completed  {short(one['completed'])}"
    if one["problem"]:
        yield f"  problem    {one['problem']}"
    if document["cancelled"] is not None:
        yield f"{members_are(document['cancelled'])} to be cancelled."
    if document["retried"] is not None:
        yield f"{members_are(document['retried'])} sent again."
    rows = [(one["task_id"], one["state"], one["name"]) for one in document["members"]]
    if rows:
        yield ""
        yield from table([("TASK", "STATE", "NAME"), *rows], indent="  ")


def short(moment: str) -> str:
    """Return a moment of a document without the fractions of its second."""
    return dt.datetime.fromisoformat(moment).isoformat(timespec="seconds")
