"""Pages: what plugins show on the dashboard, and what people can do there.

A plugin describes its pages in the hook ``qcore_dashboard_pages``::

    from qcore import hookimpl
    from qcore.pages import Page

    @hookimpl
    def qcore_dashboard_pages():
        return [Page("stock", "Stock", "shop.pages:stock", permission="shop.view_stock")]

A page is a document: what its function returns. The dashboard shows the document as a page,
with a template of the plugin or with its own, and writes it as JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import PluginBroken, QcoreError

if TYPE_CHECKING:
    from django.http import HttpRequest

_SLUG = re.compile(r"[a-z][a-z0-9-]*")


class BadQuery(QcoreError):
    """What an address asks for cannot be read; the message says what is expected."""


class Ask(str):
    """What an action returns to ask first, instead of acting: the question, for people.

    The dashboard shows the question with a button. The button sends the same form again, with
    the field ``sure``.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that people can do on a page, always by POST."""

    name: str
    """Its place in the address: lower-case letters, digits and hyphens."""
    target: str
    """``"module:function"``, imported on first use. The function takes the request, and
    returns what it has done, as a sentence, or an ``Ask``. What it raises as ``QcoreError``
    is shown as an error."""
    permission: str
    """Who may do it, as ``has_perm`` takes it: ``"shop.change_stock"``."""

    def load(self) -> Callable[[HttpRequest], str]:
        """Return the function.

        Raises:
            PluginBroken: the target cannot be imported.
        """
        found: Callable[[HttpRequest], str] = _load(self.target)
        return found


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the dashboard."""

    slug: str
    """Its place in the address: lower-case letters, digits and hyphens."""
    title: str
    """Its heading, and its name in the navigation."""
    target: str
    """``"module:function"``, imported on first use. The function takes the request and the
    rest of the address: an empty text, unless the page ``has_parts``. It returns the document, a dictionary of types
    that JSON has. A moment is a number, in seconds since the epoch; None is "unknown". It
    may raise ``BadQuery``, Django's ``Http404``, and any ``QcoreError``."""
    template: str = ""
    """The template of Django that shows the document; its context has the keys of the
    document. Empty: the dashboard draws lists and tables of the document."""
    permission: str = ""
    """Who may see it, besides the permission to see the dashboard; empty: nobody else."""
    actions: tuple[Action, ...] = ()
    order: int = 500
    """Its place in the navigation. The pages that come with the dashboard have 10 to 90."""
    has_parts: bool = False
    """Whether there are addresses below it: its function gets the rest of the address, and
    raises ``Http404`` where that leads to nothing. Otherwise, they are not found."""
    is_listed: bool = True
    """Whether the navigation has it. A page about one thing, to which others lead, is not."""

    def load(self) -> Callable[[HttpRequest, str], dict[str, Any]]:
        """Return the function.

        Raises:
            PluginBroken: the target cannot be imported.
        """
        found: Callable[[HttpRequest, str], dict[str, Any]] = _load(self.target)
        return found

    def action(self, name: str) -> Action | None:
        """Return the action of a name, if there is one."""
        return next((one for one in self.actions if one.name == name), None)

    def fault(self) -> str:
        """Return what is wrong with its description; the empty text: nothing."""
        names: list[object] = [self.slug, *(one.name for one in self.actions)]
        for name in names:
            if not isinstance(name, str) or not _SLUG.fullmatch(name):
                return (
                    f"the name {name!r} must be lower-case letters, digits and hyphens"
                )
        if len(set(names[1:])) < len(self.actions):
            return f"the page {self.slug!r} has two actions of one name"
        if any(not one.permission for one in self.actions):
            return f"an action of the page {self.slug!r} names no permission"
        for target in (self.target, *(one.target for one in self.actions)):
            module, colon, attribute = str(target).partition(":")
            if not (module and colon and attribute):
                return f"the target {target!r} must be 'module:function'"
        return ""


def _load(target: str) -> Any:
    module, _, name = target.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise PluginBroken(f"{target!r} cannot be loaded: {error}") from error
