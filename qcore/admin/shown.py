"""How the pages show moments, ids and texts: to the second, short, and without secrets."""

from __future__ import annotations

import datetime as dt

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html

from ..masking import mask_url
from ..printable import printable
from ..status import Progress
from ..tasks.state import State, in_outbox

#: What stands for a value that is not there.
NOTHING = "-"
#: Digits of an id in a list, its last ones: ids begin with the time, so those of one minute
#: begin alike. The whole id is in its title.
DIGITS = 8


def moment(value: dt.datetime | float | None) -> str:
    """Return a moment in the time zone of the pages, to the second.

    Args:
        value: a moment; a number is seconds since the epoch.
    """
    if value is None:
        return NOTHING
    if not isinstance(value, dt.datetime):
        value = dt.datetime.fromtimestamp(value, dt.UTC)
    wall = timezone.localtime(value) if timezone.is_aware(value) else value
    return date_format(wall, "Y-m-d H:i:s")


def sent_at(
    due: float | None, held_by: str | None, claimed: float | None, now: float
) -> str:
    """Return when a row of the outbox is sent, or what it waits for; see ``in_outbox``."""
    state = in_outbox(due, held_by, claimed, now)
    if state == State.SUSPENDED and due is not None:
        return f"{state}, until {moment(due)}"
    return str(state) if state in (State.PARKED, State.SUSPENDED) else moment(due)


def progress_bar(told: Progress | None) -> str:
    """Return how far a task is: a bar where that is known, and the figures with their note."""
    if told is None:
        return NOTHING
    text = mask_url(printable(told.text))
    if told.share is None:
        return text
    return format_html(
        '<progress max="1" value="{}" aria-label="progress"></progress> {}',
        f"{told.share:.3f}",
        text,
    )


def short_id(id: str) -> str:
    """Return the end of an id, with the whole id in its title."""
    if len(id) <= DIGITS:
        return id
    return format_html('<span title="{}">{}</span>', id, id[-DIGITS:])


def masked(text: str | None) -> str:
    """Return a text without the secrets that can be told by their form."""
    return mask_url(text) if text else NOTHING
