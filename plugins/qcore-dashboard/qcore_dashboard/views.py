"""The views: one that shows any page, as HTML, as a fragment or as JSON, and one that acts."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.serializers.json import DjangoJSONEncoder
from django.db import Error
from django.http import Http404, HttpResponseNotAllowed, HttpResponseRedirect
from django.http.response import HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.cache import get_conditional_response, patch_vary_headers
from django.utils.http import url_has_allowed_host_and_scheme

from qcore.errors import QcoreError
from qcore.pages import Ask, BadQuery, Page
from qcore.printable import printable

from .collect import is_allowed, pages
from .problems import told

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite
    from django.http import HttpRequest

SCHEMA = "qcore.dashboard/1"
#: The permission without which nobody sees any page.
VIEW = "qcore_dashboard.view_dashboard"
#: Keys of a document that change although nothing has happened.
_CLOCKS = frozenset({"at", "now"})
_GENERIC = "qcore_dashboard/document.html"


class Views:
    """The views of one admin site.

    Args:
        site: whose pages these are.
    """

    def __init__(self, site: AdminSite) -> None:
        self._site = site

    # -- showing -----------------------------------------------------------------
    def first(self, request: HttpRequest) -> HttpResponse:
        """Lead to the first page that the user may see."""
        self._require(request)
        for page in pages().values():
            if page.is_listed and is_allowed(request, page.permission):
                return HttpResponseRedirect(self._url(page))
        raise PermissionDenied

    def show(self, request: HttpRequest, slug: str, rest: str = "") -> HttpResponse:
        """Show one page."""
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        page, found = self._find(request, slug)
        if rest and not page.has_parts:
            raise Http404
        try:
            data, status = page.load()(request, rest), 200
        except BadQuery as error:
            data, status = {"problems": [told(error)]}, 400
        except (QcoreError, Error) as error:
            data, status = {"problems": [told(error)]}, 503
        document = {
            "schema": SCHEMA,
            "page": page.slug,
            "title": page.title,
            "at": time.time(),
            "data": data,
        }
        if _wants_json(request):
            answer: HttpResponse = JsonResponse(document, status=status)
        elif "fragment" in request.GET:
            answer = self._fragment(request, page, data, status)
        else:
            answer = self._html(request, page, found, data, status)
        answer["Cache-Control"] = "no-cache, private"
        patch_vary_headers(answer, ["Accept", "Cookie"])
        return self._conditional(request, answer, data)

    def _conditional(
        self, request: HttpRequest, answer: HttpResponse, data: dict[str, Any]
    ) -> HttpResponse:
        """Answer 304 where what is shown has not changed; pages as a whole are always sent."""
        is_part = _wants_json(request) or "fragment" in request.GET
        if answer.status_code != 200 or not is_part:
            return answer
        etag = f'"{_digest(data)}-{"j" if _wants_json(request) else "f"}"'
        answer["ETag"] = etag
        return get_conditional_response(request, etag, None, answer) or answer

    def _fragment(
        self, request: HttpRequest, page: Page, data: dict[str, Any], status: int
    ) -> HttpResponse:
        context = self._context(request, page, data)
        return TemplateResponse(
            request, "qcore_dashboard/live.html", context, status=status
        )

    def _html(
        self,
        request: HttpRequest,
        page: Page,
        found: dict[str, Page],
        data: dict[str, Any],
        status: int,
    ) -> HttpResponse:
        context = {
            **self._site.each_context(request),
            **self._context(request, page, data),
            "navigation": [
                {"title": one.title, "url": self._url(one), "is_here": one is page}
                for one in found.values()
                if one.is_listed and is_allowed(request, one.permission)
            ],
        }
        return TemplateResponse(
            request, "qcore_dashboard/page.html", context, status=status
        )

    def _context(
        self, request: HttpRequest, page: Page, data: dict[str, Any]
    ) -> dict[str, Any]:
        request.current_app = self._site.name
        return {
            **data,
            "document": data,
            "page": page,
            "title": page.title,
            "body": page.template or _GENERIC,
            "now": time.time(),
            "may": {
                one.name.replace("-", "_"): is_allowed(request, one.permission)
                for one in page.actions
            },
        }

    # -- acting ------------------------------------------------------------------
    def act(self, request: HttpRequest, slug: str, name: str) -> HttpResponse:
        """Do one thing, and lead back to the page."""
        page, _ = self._find(request, slug)
        action = page.action(name)
        if action is None:
            raise Http404
        if not is_allowed(request, action.permission):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        try:
            text, status = action.load()(request), 200
        except BadQuery as error:
            text, status = told(error), 400
        except (QcoreError, Error) as error:
            text, status = told(error), 503
        if status == 200 and isinstance(text, Ask):
            return self._ask(request, page, text)
        text = printable(text)
        if _wants_json(request):
            key = "done" if status == 200 else "problem"
            return JsonResponse({"schema": SCHEMA, key: text}, status=status)
        level = messages.SUCCESS if status == 200 else messages.ERROR
        messages.add_message(request, level, text, fail_silently=True)
        return HttpResponseRedirect(self._back(request, page))

    def _ask(self, request: HttpRequest, page: Page, question: str) -> HttpResponse:
        if _wants_json(request):
            return JsonResponse({"schema": SCHEMA, "ask": question}, status=409)
        given = [
            (name, value)
            for name, values in request.POST.lists()
            for value in values
            if name not in {"csrfmiddlewaretoken", "sure"}
        ]
        context = {
            **self._site.each_context(request),
            **self._context(request, page, {}),
            "question": question,
            "given": given,
            "back": self._back(request, page),
        }
        return TemplateResponse(request, "qcore_dashboard/ask.html", context)

    def _back(self, request: HttpRequest, page: Page) -> str:
        """Return where the form came from, or the page; never another site."""
        back = request.POST.get("back", "")
        if back.startswith("/") and url_has_allowed_host_and_scheme(
            back, allowed_hosts={request.get_host()}
        ):
            return back
        if page.is_listed:
            return self._url(page)
        return reverse(
            "admin:qcore_dashboard_dashboard_changelist", current_app=self._site.name
        )

    # -- both --------------------------------------------------------------------
    def _find(self, request: HttpRequest, slug: str) -> tuple[Page, dict[str, Page]]:
        self._require(request)
        found = pages()
        page = found.get(slug)
        if page is None:
            raise Http404
        if not is_allowed(request, page.permission):
            raise PermissionDenied
        return page, found

    def _require(self, request: HttpRequest) -> None:
        if not is_allowed(request, VIEW):
            raise PermissionDenied

    def _url(self, page: Page) -> str:
        return reverse(
            "admin:qcore_dashboard_page",
            args=[page.slug],
            current_app=self._site.name,
        )


def _wants_json(request: HttpRequest) -> bool:
    """Whether the address says so, or the client asks for JSON and not for HTML."""
    if "format" in request.GET:
        return request.GET["format"] == "json"
    wanted = request.get_preferred_type(["text/html", "application/json"])
    return wanted == "application/json"


def _digest(data: dict[str, Any]) -> str:
    """Return what changes with a document, its clocks aside."""
    text = DjangoJSONEncoder(sort_keys=True).encode(
        {key: value for key, value in data.items() if key not in _CLOCKS}
    )
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
