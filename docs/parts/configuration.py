"""The settings, from the table that validates them."""

from __future__ import annotations

from itertools import groupby

from qcore import Setting
from qcore.conf import fields
from qcore.plugins import builtin

from . import plugins

GROUPS = {
    "cluster": "Cluster",
    "tasks": "Tasks",
    "broker": "Broker",
    "results": "Results and reports",
    "schedules": "Schedules",
    "app": "App and log",
}


def table() -> list[Setting]:
    """Return every setting of the core and of the plugins of this repository, by group.

    That of the template stands in its README: nobody has it installed.
    """
    found = [*fields(), *builtin.qcore_settings()]
    for folder, _, module in plugins.found():
        if folder.name != "qcore-example":
            found += getattr(module, "qcore_settings", list)()
    return sorted(found, key=lambda setting: list(GROUPS).index(setting.group))


def reference() -> str:
    """Return one heading per setting, below one per group."""
    text = []
    for group, settings in groupby(table(), key=lambda setting: setting.group):
        text.append(f"## {GROUPS[group]}")
        text += [_setting(setting) for setting in settings]
    return "\n\n".join(text)


def index() -> str:
    """Return all names, each a link, one line per group."""
    lines = []
    for group, settings in groupby(table(), key=lambda setting: setting.group):
        links = [f"[{one.name}](#{_anchor(one.name)})" for one in settings]
        lines.append(f"- {GROUPS[group]}: {', '.join(links)}")
    return "\n".join(lines)


def _anchor(heading: str) -> str:
    return heading.lower().replace(".", "")


def _setting(setting: Setting) -> str:
    default = setting.default_text
    shown = default if " " in default and default[0] not in "'[{" else f"`{default}`"
    facts = [f"Type: `{setting.type_text}`", f"Default: {shown}"]
    if setting.unset:
        facts.append(f"Unless set: {setting.unset}")
    if not _is_plain(setting):
        facts.append(f"Expected: {setting.expects}")
    if setting.secret:
        facts.append("Masked wherever it is shown")
    facts += [_key(key) for key in (*setting.keys, *setting.each)]
    listed = "\n".join(f"- {fact}" for fact in facts)
    return f"### {setting.name}\n\n{setting.help}\n\n{listed}"


def _key(key: Setting) -> str:
    masked = " Masked wherever it is shown." if key.secret else ""
    return f"Key `{key.name}`: {key.expects}. {key.help}{masked}"


def _is_plain(setting: Setting) -> bool:
    """Whether the type says all: a bool, or a choice of words."""
    return setting.type_text == "bool" or setting.type_text.startswith("'")
