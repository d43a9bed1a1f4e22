"""Show the plugins: what they give, what is broken, what a project selects.

Works outside of a Django project; beside its manage.py, or with
DJANGO_SETTINGS_MODULE, it says what Q_CLUSTER selects. With QCORE_PLUGINS=a,b
in the environment only these are loaded.
"""

from __future__ import annotations

import contextlib
import os
import sys
from argparse import ArgumentParser, Namespace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from .exits import OK, UNHEALTHY
from .output import add_json, write_json, write_lines

if TYPE_CHECKING:
    from ..conf import Setting
    from ..plugins import Plugin, Provider

HELP = "show the plugins and what they can do"
SCHEMA = "qcore.plugins/1"
_ABSENT = "not installed"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of this verb."""
    add_json(parser)


def run(options: Namespace, out: TextIO) -> int:
    """Show the plugins; 3 says that one of them is broken."""
    document = describe()
    if options.json:
        write_json(out, document)
    else:
        write_lines(out, _render(document))
    broken = [p for p in document["plugins"] if p["state"] == "broken"]
    return UNHEALTHY if broken else OK


def describe() -> dict[str, Any]:
    """Return everything about the plugins in the types of JSON."""
    from ..plugins import Registry
    from ..plugins.known import KNOWN

    chosen = selected()
    registry = Registry()
    _let_models_load(registry.plugins)
    found = [_plugin(plugin) for plugin in registry.plugins]
    names = {plugin.name for plugin in registry.plugins}
    found += [_absent(name) for name in KNOWN if name not in names]
    return {"schema": SCHEMA, "plugins": found, "selected": chosen}


def selected() -> dict[str, Any] | None:
    """Return what the project selects of each kind; None outside of a project.

    Of a kind of which it selects nothing usable, the reason.
    """
    from ..errors import QcoreError
    from ..runtime import ONE_OF, current

    if not _is_in_a_project():
        return None
    found: dict[str, Any] = {}
    for kind in ONE_OF:
        try:
            choice = current.choice(kind)
            choice.load()
        except QcoreError as error:
            found[kind] = {"name": None, "by": None, "error": str(error)}
        else:
            by = choice.because or None
            found[kind] = {"name": choice.name, "by": by, "error": None}
    return found


def _is_in_a_project() -> bool:
    """Whether the settings of a project are there; they are set up if they can be."""
    from django.conf import settings

    from ..errors import QcoreError
    from .project import VARIABLE, nearby_manage, set_up

    if not settings.configured:
        if VARIABLE not in os.environ and nearby_manage(Path.cwd()) is None:
            return False
        # a project that cannot start has verbs of its own that say why: doctor, check
        with contextlib.suppress(QcoreError):
            set_up("plugins")
    return settings.configured and hasattr(settings, "Q_CLUSTER")


def _let_models_load(plugins: list[Plugin]) -> None:
    """Give Django the least settings with which plugins that are apps can be imported."""
    import django
    from django.conf import settings

    if settings.configured:
        return
    packages = {
        plugin.module.partition(".")[0] for plugin in plugins if not plugin.error
    }
    settings.configure(INSTALLED_APPS=sorted(filter(_is_app, packages)))
    # An app that cannot be loaded is told by what happens to its providers.
    with contextlib.suppress(Exception):
        django.setup()


def _is_app(package: str) -> bool:
    loaded = sys.modules.get(package)
    return hasattr(loaded, "__path__") and find_spec(f"{package}.apps") is not None


def _plugin(plugin: Plugin) -> dict[str, Any]:
    providers = [
        _provider(kind, provider)
        for kind, some in plugin.providers.items()
        for provider in some
    ]
    errors = [plugin.error, *(provider["error"] for provider in providers)]
    error = next((text for text in errors if text), None)
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "state": "broken" if error else "ok",
        "error": error,
        "kinds": list(plugin.providers),
        "providers": providers,
        "settings": [_setting(setting) for setting in plugin.settings],
        "task_options": [
            {"name": option.name, "help": option.help} for option in plugin.options
        ],
        "install": None,
    }


def _setting(setting: Setting) -> dict[str, Any]:
    return {
        "name": setting.name,
        "type": setting.type_text,
        "default": setting.default_text,
        "secret": setting.secret,
        "help": setting.help,
    }


def _provider(kind: str, provider: Provider) -> dict[str, Any]:
    from ..errors import PluginBroken
    from ..plugins import KINDS
    from ..plugins.choice import never_selected

    described: dict[str, Any] = {
        "kind": kind,
        "name": provider.name,
        "target": provider.target,
        "claims": list(provider.claims),
        "capabilities": None,
        "error": None,
    }
    try:
        loaded = provider.load()
    except PluginBroken as error:
        described["error"] = str(error)
    else:
        if refusal := KINDS[kind].refuse(loaded):
            described["error"] = f"{provider.target!r} {refusal}"
        elif reason := never_selected(kind, provider):
            described["error"] = (
                f"the {kind} {provider.name!r} can never be selected: {reason}"
            )
        if kind == "broker" and not refusal:
            described["capabilities"] = loaded.capabilities()
    return described


def _absent(name: str) -> dict[str, Any]:
    from ..plugins.known import command_of

    return {
        "name": name,
        "distribution": f"qcore-{name}",
        "version": None,
        "state": _ABSENT,
        "error": None,
        "kinds": [],
        "providers": [],
        "settings": [],
        "task_options": [],
        "install": command_of(name),
    }


def _render(document: dict[str, Any]) -> list[str]:
    from ..monitor.text import table

    rows = [("PLUGIN", "DISTRIBUTION", "STATE", "GIVES")]
    for plugin in document["plugins"]:
        distribution = f"{plugin['distribution']} {plugin['version'] or ''}".strip()
        gives = [_names(kind, plugin["providers"]) for kind in plugin["kinds"]]
        if options := ", ".join(option["name"] for option in plugin["task_options"]):
            gives.append(f"task options: {options}")
        gives = gives or [plugin["install"] or "-"]
        rows.append((plugin["name"], distribution, plugin["state"], gives[0]))
        rows += [("", "", "", more) for more in gives[1:]]
    lines = table(rows, indent="")
    for plugin in document["plugins"]:
        if plugin["error"]:
            lines += ["", f"{plugin['name']} is broken: {plugin['error']}"]
    brokers = [
        provider
        for plugin in document["plugins"]
        for provider in plugin["providers"]
        if provider["capabilities"] is not None
    ]
    return [*lines, "", *_capabilities(brokers), *_selected(document["selected"])]


def _selected(found: dict[str, Any] | None) -> list[str]:
    """Return what the project selects, kind by kind."""
    from ..monitor.text import table

    if found is None:
        return []
    rows = [("THIS PROJECT HAS", "", "SELECTED BY")]
    for kind, one in found.items():
        if one["error"]:
            rows.append((kind, "none", one["error"]))
        else:
            rows.append((kind, one["name"], one["by"] or "default"))
    return ["", *table(rows, indent="")]


def _names(kind: str, providers: list[dict[str, Any]]) -> str:
    names = ", ".join(p["name"] for p in providers if p["kind"] == kind)
    return f"{kind}: {names}"


def _capabilities(brokers: list[dict[str, Any]]) -> list[str]:
    """Return what each broker can do: capabilities down, brokers across."""
    from ..brokers.base import CAPABILITIES
    from ..monitor.text import table

    rows = [["BROKERS CAN", *(broker["name"] for broker in brokers)]]
    for capability in CAPABILITIES:
        answers = (broker["capabilities"][capability] for broker in brokers)
        rows.append([capability, *("yes" if answer else "-" for answer in answers)])
    return table(rows, indent="")
