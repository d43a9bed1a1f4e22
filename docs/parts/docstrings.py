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
_ENTRY = re.compile(r"^(?P<name>[\w*.][\w*., ]*): (?P<text>.*)$")


def markdown(thing: object) -> str:
    """Return the docstring of a class, module or function as Markdown."""
    pieces = _SECTION.split(inspect.getdoc(thing) or "")
    text = [_body(pieces[0])]
    for name, content in zip(pieces[1::2], pieces[2::2], strict=True):
        text.append(_section(name, content))
    return "\n\n".join(part for part in text if part)


def signature(function: Callable[..., Any], name: str) -> str:
    """Return ``name(arguments) -> type`` as a block, one line if it fits."""
    found = inspect.signature(function)
    if inspect.isclass(function):
        found = found.replace(return_annotation=inspect.Signature.empty)
    line = _plain(f"{name}{found}")
    return f"```text\n{line if len(line) <= 88 else _folded(found, name)}\n```"


def _folded(found: inspect.Signature, name: str) -> str:
    """Return a signature with one line for each argument."""
    lines = [f"{name}("]
    starred = False
    for part in found.parameters.values():
        if part.kind is part.KEYWORD_ONLY and not starred:
            lines.append("    *,")
        starred = starred or part.kind in (part.KEYWORD_ONLY, part.VAR_POSITIONAL)
        lines.append(f"    {_plain(str(part))},")
    if found.return_annotation is found.empty:
        return "\n".join([*lines, ")"])
    return "\n".join([*lines, f") -> {_plain(str(found.return_annotation))}"])


def _plain(text: str) -> str:
    # annotations are text in this project, so they come in quotes; defaults keep theirs
    text = re.sub(r"ForwardRef\(('[^']*').*?\)", r"\1", text)
    text = re.sub(r"(: |-> )'([^']*)'", r"\1\2", text)
    return text.replace("self, ", "").replace("(self)", "()")


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
            while lines and not lines[-1]:
                lines.pop()
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
