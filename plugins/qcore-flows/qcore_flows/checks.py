"""Checks: whether the plugin can do what tasks ask of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcore.plugins.app_checks import check_app

if TYPE_CHECKING:
    from django.core.checks import CheckMessage


def check() -> list[CheckMessage]:
    """Return warnings about the app and its database."""
    return check_app("qcore_flows", "batches, graphs and durable steps are refused")
