"""Flows: the newest batches and graphs, and the members of one."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from django.http import Http404

from qcore.errors import CallError
from qcore.masking import mask_url
from qcore.pages import Ask, BadQuery
from qcore.printable import printable

from ..option import is_id
from ..repair import cancel as cancel_flow
from ..repair import cancel_members, retry_members
from ..repair import retry as retry_flow
from ..status import find, list_flows, list_members, members_are, of_row
from .asked import id_of, newest_of, posted_id, start_of

if TYPE_CHECKING:
    from django.http import HttpRequest

    from ..status import FlowStatus, MemberStatus

#: Flows in the list, and members of one, on a page.
SIZE = 50
_WHAT = "a batch or graph"


def look(request: HttpRequest, rest: str) -> dict[str, Any]:
    """Return the document: the newest flows, or one with some of its members."""
    if not rest:
        before = newest_of(request, _WHAT)
        found = list_flows(SIZE + 1, before=before)
        return {
            "flow": None,
            "flows": [_flow(one) for one in found[:SIZE]],
            "is_first": not before,
            "next": found[SIZE - 1].id if len(found) > SIZE else None,
        }
    row = find(rest) if is_id(rest) else None
    if row is None:
        raise Http404
    first, is_failed_only = start_of(request), "failed" in request.GET
    some = list_members(rest, failed=is_failed_only, first=first, limit=SIZE + 1)
    members = list(some)
    return {
        "flow": _flow(of_row(row)),
        "is_failed_only": is_failed_only,
        "members": [_member(one, row.kind) for one in members[:SIZE]],
        "is_first": not first,
        "next": members[SIZE].number if len(members) > SIZE else None,
    }


def _flow(one: FlowStatus) -> dict[str, Any]:
    return {
        **asdict(one),
        "name": printable(one.name),
        "share": round(one.share, 4),
        "done": one.done,
        "problem": printable(mask_url(one.problem)) or None,
    }


def _member(one: MemberStatus, kind: str) -> dict[str, Any]:
    is_over = one.ended is not None
    return {
        **asdict(one),
        "name": printable(one.name),
        "can_be_cancelled": kind == "graph" and not is_over,
        "can_be_retried": kind == "graph" and is_over and one.state != "skipped",
    }


# -- actions -------------------------------------------------------------------------------
def cancel(request: HttpRequest) -> str:
    """Cancel a flow, or one of its nodes; ask first."""
    id, node = _chosen(request)
    if "sure" not in request.POST:
        what = "this node" if node else "all members that have not ended"
        return Ask(f"Cancel {what}? A task that runs is told to stop.")
    try:
        count = cancel_members(id, [node]) if node else cancel_flow(id)
    except CallError as error:
        raise BadQuery(str(error)) from error
    return f"{members_are(count)} to be cancelled."


def retry(request: HttpRequest) -> str:
    """Send the failed members of a flow, or one node of a graph, again."""
    id, node = _chosen(request)
    try:
        count = retry_members(id, [node]) if node else retry_flow(id)
    except CallError as error:
        raise BadQuery(str(error)) from error
    return f"{members_are(count)} sent again."


def _chosen(request: HttpRequest) -> tuple[str, str]:
    """Return the flow of a form, and its node; the empty text where it names none.

    Raises:
        BadQuery: an id is none, or only a graph has nodes.
    """
    id, node = posted_id(request, _WHAT), request.POST.get("node", "")
    if not node:
        return id, ""
    row = find(id)
    if row is not None and row.kind != "graph":
        raise BadQuery(f"{id} is a {row.kind} and has no nodes.")
    return id, id_of(node, "a node")
