"""The place of the dashboard in an admin site: its addresses, and who may open them.

For a site of your own: ``site.register(Dashboard, DashboardAdmin)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.urls import path

from .models import Dashboard
from .views import Views

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    _Admin = admin.ModelAdmin[Dashboard]
else:
    _Admin = admin.ModelAdmin

#: The permission without which nobody sees any page of the dashboard.
VIEW = "qcore_dashboard.view_dashboard"


@admin.register(Dashboard)
class DashboardAdmin(_Admin):
    """Every page of the dashboard; there are no rows."""

    def get_urls(self) -> list[Any]:
        """Return the addresses of the pages and of their actions."""
        views = Views(self.admin_site)
        wrap = self.admin_site.admin_view
        return [
            path(
                "",
                wrap(self.changelist_view),
                name="qcore_dashboard_dashboard_changelist",
            ),
            path("<slug:slug>/", wrap(views.show), name="qcore_dashboard_page"),
            path(
                "<slug:slug>/do/<slug:name>/",
                wrap(views.act),
                name="qcore_dashboard_act",
            ),
            path(
                "<slug:slug>/<path:rest>/",
                wrap(views.show),
                name="qcore_dashboard_part",
            ),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: Any = None
    ) -> HttpResponse:
        """Show the first page."""
        return Views(self.admin_site).first(request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm(VIEW))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
