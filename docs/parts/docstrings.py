"""Docstrings of this project as Markdown.

They are plain text with ``Args:``, ``Returns:`` and ``Raises:``, and with literal
blocks after ``::``.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any

SECTIONS = ("Args", "Returns", "Raises", "Environment")
_SECTION = re.compile(rf"^({'|'.join(SECTIONS)}):$", re.MULTILINE)
_ENTRY = re.compile(r"^(?P<name>[\w*., ]+): (?P<text>.*)$")


def markdown(thing: object) -> str:
    """Return the docstring of a class, module or function as Markdown."""
    pieces = _SECTION.split(inspect.getdoc(thing) or "")
    text = [_body(pieces[0])]
    for name, content in zip(pieces[1::2], pieces[2::2], strict=True):
        text.append(_section(name, content))
    return "\n\n".join(part for part in text if part)


def signature(function: Callable[..., Any], name: str) -> str:
    """Return ``name(arguments) -> type`` as a block of Python, one line if it fits."""
    shown = _plain(str(inspect.signature(function)))
    line = f"{name}{shown}"
    if len(line) > 88:
        line = name + _folded(inspect.signature(function))
    return f"```text\n{line}\n```"


def _folded(found: inspect.Signature) -> str:
    arguments = [f"    {_plain(str(part))},\n" for part in found.parameters.values()]
    return f"(\n{''.join(arguments)}) -> {_plain(str(found.return_annotation))}"


def _plain(text: str) -> str:
    # annotations are text in this project, so they come in quotes
    return text.replace("'", "").replace("self, ", "").replace("(self)", "()")


def _body(text: str) -> str:
    """Turn literal blocks into fences; leave the rest as it is."""
    lines: list[str] = []
    literal: list[str] = []
    waiting = False
    for line in [*text.strip().splitlines(), "end"]:
        if waiting and (line.startswith("    ") or not line):
            literal.append(line)
            continue
        if waiting:
            block = textwrap.dedent("\n".join(literal)).strip()
            lines += ["", "```text", block, "```", ""]
            literal, waiting = [], False
        waiting = line.endswith("::")
        lines.append(line[: -1 if line != "::" else 0] if waiting else line)
    return "\n".join(lines[:-1]).strip()


def _section(name: str, content: str) -> str:
    block = textwrap.dedent(content.strip("\n"))
    entries: list[str] = []
    for line in block.splitlines():
        found = _ENTRY.match(line)
        if found and name in ("Args", "Raises", "Environment"):
            entries.append(f"- `{found['name']}`: {found['text']}")
        elif line.startswith("    ") and entries:
            entries.append(f"  {line[4:]}")
        else:
            entries.append(line)
    return f"**{name}:**\n\n" + "\n".join(entries).strip()
