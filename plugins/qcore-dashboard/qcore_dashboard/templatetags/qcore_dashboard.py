"""Filters: numbers with their units. What is not known is shown as unknown, never as 0."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import format_html

from qcore.admin import shown
from qcore.monitor import text
from qcore.printable import printable

register = template.Library()

UNKNOWN = "unknown"


def _unknown() -> str:
    return format_html('<span class="qd-unknown">{}</span>', UNKNOWN)


@register.filter
def number(value: float | None) -> str:
    """Return a count with its thousands apart."""
    if value is None:
        return _unknown()
    whole = int(value)
    return f"{whole:,}" if value == whole else f"{value:,.1f}"


@register.filter
def seconds(value: float | None) -> str:
    """Return a duration in the two largest of its units."""
    return _unknown() if value is None else text.seconds(float(value))


@register.filter
def size(value: int | None) -> str:
    """Return an amount of memory, given in kB."""
    return _unknown() if value is None else text.size(value)


@register.filter
def moment(value: float | None) -> str:
    """Return a moment in the time zone of the pages, to the second, in a <time>."""
    if value is None:
        return _unknown()
    there = dt.datetime.fromtimestamp(value, dt.UTC)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        there.isoformat(timespec="seconds"),
        f"{there:%Y-%m-%d %H:%M:%S} UTC",
        shown.moment(there),
    )


@register.filter
def utc(value: float) -> str:
    """Return a moment in UTC, to the second."""
    return f"{dt.datetime.fromtimestamp(value, dt.UTC):%Y-%m-%d %H:%M:%S}"


@register.filter
def known(value: Any) -> Any:
    """Return a text, or that it is not known."""
    return _unknown() if value in (None, "") else printable(str(value))


@register.filter
def short(value: str) -> str:
    """Return the end of an id, with the whole id in its title."""
    return shown.short_id(value)


@register.filter
def percent(value: float) -> int:
    """Return a share as whole percent."""
    return round(value * 100)


@register.filter
def kind_of_value(value: Any) -> str:
    """Return how the plain page shows a value: "table", "list" or "text"."""
    if isinstance(value, list) and value and all(isinstance(v, dict) for v in value):
        return "table"
    return "list" if isinstance(value, list | dict) else "text"


@register.filter
def columns(rows: list[dict[str, Any]]) -> list[str]:
    """Return the keys of rows, in the order in which they appear."""
    return list(dict.fromkeys(key for row in rows for key in row))


@register.filter
def cells(row: dict[str, Any], names: list[str]) -> list[Any]:
    """Return the values of a row, in the order of the columns."""
    return [row.get(name) for name in names]


@register.filter
def pairs(value: Any) -> list[tuple[Any, Any]]:
    """Return the items of a dictionary, or those of a list with their places."""
    return list(value.items()) if isinstance(value, dict) else list(enumerate(value, 1))


@register.filter
def heading(value: Any) -> str:
    """Return a key as a heading: ``oldest_seconds`` is "oldest seconds"."""
    return str(value).replace("_", " ")


@register.simple_tag(takes_context=True)
def page_url(context: dict[str, Any], slug: str, rest: str = "") -> str:
    """Return the address of a page, or of a part of it."""
    site = getattr(context.get("request"), "current_app", None)
    if rest:
        return reverse(
            "admin:qcore_dashboard_part", args=[slug, rest], current_app=site
        )
    return reverse("admin:qcore_dashboard_page", args=[slug], current_app=site)


@register.simple_tag(takes_context=True)
def act_url(context: dict[str, Any], slug: str, name: str) -> str:
    """Return the address of an action."""
    site = getattr(context.get("request"), "current_app", None)
    return reverse("admin:qcore_dashboard_act", args=[slug, name], current_app=site)
