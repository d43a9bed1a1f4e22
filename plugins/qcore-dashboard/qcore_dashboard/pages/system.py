"""System: the doctor's findings, the settings with their source, and the plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qcore import __version__
from qcore.cli.plugins import describe
from qcore.conf import fields
from qcore.doctor.examination import examine
from qcore.masking import mask_url
from qcore.runtime import current

from ..problems import Problems

if TYPE_CHECKING:
    from django.http import HttpRequest


def look(request: HttpRequest, rest: str) -> dict[str, Any]:
    """Return the document; the doctor is asked where the address says so.

    The doctor connects to every service, and waits for those that do not answer.
    """
    problems = Problems()
    found = problems.attempt(describe)
    return {
        "version": __version__,
        "doctor": examine().as_dict() if "doctor" in request.GET else None,
        "settings": problems.attempt(_settings),
        "plugins": None if found is None else _plugins(found),
        "selected": None if found is None else _selected(found),
        "problems": problems,
    }


def _settings() -> list[dict[str, Any]]:
    conf = current.conf
    table = {one.name: one for one in [*fields(), *conf.declared]}
    found = []
    for name, value in conf.masked().items():
        setting = table.get(name)
        by_project = name in conf.explicit
        found.append(
            {
                "name": name,
                "group": setting.group if setting else "plugins",
                "value": repr(value),
                "source": "Q_CLUSTER" if by_project else "default",
                "unset": setting.unset if setting and not by_project else "",
                "help": setting.help if setting else "",
            }
        )
    return sorted(found, key=lambda one: (one["source"] == "default", one["name"]))


def _plugins(described: dict[str, Any]) -> list[dict[str, Any]]:
    wanted = ("name", "distribution", "version", "state", "error", "kinds", "install")
    found = []
    for one in described["plugins"]:
        capabilities = [
            provider["capabilities"]
            for provider in one["providers"]
            if provider["capabilities"] is not None
        ]
        found.append(
            {name: one[name] for name in wanted}
            | {
                "error": one["error"] and mask_url(one["error"]),
                "capabilities": [name for name, has in capabilities[0].items() if has]
                if capabilities
                else None,
            }
        )
    return found


def _selected(described: dict[str, Any]) -> list[dict[str, Any]]:
    chosen = described["selected"] or {}
    return [
        {"kind": kind, **one, "error": one["error"] and mask_url(one["error"])}
        for kind, one in chosen.items()
    ]
