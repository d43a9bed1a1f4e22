"""Tasks: one list over what runs, waits, is scheduled and has ended, with a search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from qcore.listing import finished, places, query
from qcore.listing.query import EXAMPLE
from qcore.runtime import current

from .. import live

if TYPE_CHECKING:
    from django.http import HttpRequest

#: Searches that the page offers.
READY = (
    ("running", "state:running"),
    ("scheduled", "state:scheduled,parked,suspended"),
    ("failed", "state:failed"),
    ("dead", "state:dead"),
    ("cancelled", "state:cancelled"),
    ("last hour", "since:1h"),
)


def look(request: HttpRequest, rest: str) -> dict[str, Any]:
    """Return the document."""
    asked = query.read(request.GET.get("q", ""))
    after = request.GET.get("after", "")
    now = live.look()
    rows, further = places.find(
        asked, after, now.clusters or [], attempt=now.problems.attempt
    )
    sizes = live.sizes(current.conf.queue, now.problems)
    told = finished.elsewhere()
    return {
        "query": asked.text,
        "example": EXAMPLE,
        "ready": [{"title": title, "query": text} for title, text in READY],
        "is_first": not after,
        "tasks": [row.as_dict() for row in rows],
        "next": urlencode({"q": asked.text, "after": further}) if further else "",
        "is_an_id": len(asked.words) == 1 and _is_id(asked.words[0]),
        "waiting": sizes["waiting"],
        "queue": current.conf.queue,
        "elsewhere": None if told is None else f"{told[0].upper()}{told[1:]}.",
        "problems": now.problems,
    }


def _is_id(word: str) -> bool:
    return len(word) == 32 and all(digit in "0123456789abcdef" for digit in word)
