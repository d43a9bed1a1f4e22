"""Asked: ids and numbers that an address or a form of a page gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcore.conf.names import shown
from qcore.pages import BadQuery

from ..option import is_id

if TYPE_CHECKING:
    from django.http import HttpRequest


def id_of(given: str, what: str) -> str:
    """Return an id.

    Args:
        given: as it came.
        what: has the id, for the error.

    Raises:
        BadQuery: it is none.
    """
    if not is_id(given):
        raise BadQuery(
            f"{shown(given)} is no id of {what}: expected 32 hexadecimal digits in lower"
            " case."
        )
    return given


def posted_id(request: HttpRequest, what: str) -> str:
    """Return the field ``id`` of a form.

    Raises:
        BadQuery: it is missing, or is none.
    """
    return id_of(request.POST.get("id", ""), what)


def start_of(request: HttpRequest) -> int:
    """Return from which member, or step, a page shows them: ``?from=``; from 0.

    Raises:
        BadQuery: it is no number.
    """
    given = request.GET.get("from", "0")
    if not (given.isascii() and given.isdigit()) or len(given) > 9:
        raise BadQuery(f"'from' is {shown(given)}, expected a number from 0.")
    return int(given)


def newest_of(request: HttpRequest, what: str) -> str:
    """Return before which id a list begins: ``?before=``; the empty text: with the newest.

    Raises:
        BadQuery: it is no id.
    """
    given = request.GET.get("before", "")
    return id_of(given, what) if given else ""
