"""The pages of all plugins, in the order of the navigation."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from qcore.pages import Page
from qcore.runtime import current

if TYPE_CHECKING:
    from django.http import HttpRequest

logger = logging.getLogger("qcore.dashboard")


def pages() -> dict[str, Page]:
    """Return all pages by their slugs; a wrong one is logged and left out."""
    found: dict[str, Page] = {}
    for plugin, given in current.registry.collect("qcore_dashboard_pages"):
        for page in given or ():
            if fault := _fault(page, found):
                logger.error("a page of plugin %s is left out: %s", plugin, fault)
            else:
                found[page.slug] = page
    return dict(sorted(found.items(), key=lambda item: (item[1].order, item[0])))


def _fault(page: object, taken: dict[str, Page]) -> str:
    if not isinstance(page, Page):
        return f"expected a qcore.pages.Page, got {type(page).__name__}"
    if fault := page.fault():
        return fault
    if page.slug in taken:
        return f"another page has the slug {page.slug!r}"
    return ""


def is_allowed(request: HttpRequest, permission: str) -> bool:
    """Return whether the user has a permission; everybody has the empty one."""
    return not permission or bool(request.user.has_perm(permission))
