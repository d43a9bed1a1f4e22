"""The settings, from the table that validates them."""

from __future__ import annotations

from itertools import groupby

from qcore.conf import Setting, fields

GROUPS = {
    "cluster": "Cluster",
    "tasks": "Tasks",
    "broker": "Broker",
    "results": "Results and reports",
    "schedules": "Schedules",
    "app": "App and log",
}


def reference() -> str:
    """Return one heading per setting, below one per group."""
    text = []
    for group, settings in groupby(fields(), key=lambda setting: setting.group):
        text.append(f"## {GROUPS[group]}")
        text += [_setting(setting) for setting in settings]
    return "\n\n".join(text)


def index() -> str:
    """Return all names, each a link, one line per group."""
    lines = []
    for group, settings in groupby(fields(), key=lambda setting: setting.group):
        links = [f"[{one.name}](#{one.name.lower()})" for one in settings]
        lines.append(f"- {GROUPS[group]}: {', '.join(links)}")
    return "\n".join(lines)


def _setting(setting: Setting) -> str:
    default = setting.default
    shown = default if " " in default and default[0] not in "'[{" else f"`{default}`"
    facts = [f"Type: `{setting.type}`", f"Default: {shown}"]
    if setting.unset:
        facts.append(f"Unless set: {setting.unset}")
    if not _is_plain(setting):
        facts.append(f"Expected: {setting.expects}")
    if setting.secret:
        facts.append("Masked wherever it is shown")
    listed = "\n".join(f"- {fact}" for fact in facts)
    return f"### {setting.name}\n\n{setting.description}\n\n{listed}"


def _is_plain(setting: Setting) -> bool:
    """Whether the type says all: a bool, or a choice of words."""
    return setting.type == "bool" or setting.type.startswith("'")
