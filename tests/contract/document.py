"""The documented contract of the settings, taken apart into sentences and examples.

``configuration-contract.txt`` is the page of settings of django-q2 as it is published,
misprints included. Nothing in it is changed here; what an example needs to be read by
Python is mended on the way (see ``MENDED``).
"""

from __future__ import annotations

import ast
import os
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

PATH = Path(__file__).with_name("configuration-contract.txt")

#: What stands before the first setting goes by this name.
WHOLE = "Q_CLUSTER"

#: Misprints of the examples: a comma and a quote that are missing.
MENDED = {"'retry': 5\n": "'retry': 5,\n", "'broker_class: ": "'broker_class': "}

#: The variables that one example reads.
ENVIRON = {
    "TYND_DISQUE_NODES": "127.0.0.1:7711,127.0.0.1:7712",
    "TYND_DISQUE_AUTH": "a password",
}

_HEADING = re.compile(r"^(\w+)\n~+\n", re.MULTILINE)
_END = re.compile(r"(?<!i\.e\.)(?<!e\.g\.)(?<=[.!?])\s+(?=[A-Z])")
_FOOTNOTE = ".. [#f1] "


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence, or one example, of the document."""

    setting: str
    text: str  # with single spaces


@dataclass(frozen=True, slots=True)
class Example:
    """One block of code."""

    setting: str
    number: int  # from 1, among those of the setting
    text: str

    @property
    def title(self) -> str:
        """What a mark calls it, in the place of a sentence."""
        return f"(example {self.number})"

    @property
    def q_cluster(self) -> dict[str, Any]:
        """The value of ``Q_CLUSTER`` once the block has run."""
        text = self.text
        for wrong, right in MENDED.items():
            text = text.replace(wrong, right)
        body = ast.parse(text).body
        # what follows the settings is code of the project, and imports the predecessor
        kept = [node for node in body if isinstance(node, (ast.Assign, ast.Import))]
        names: dict[str, Any] = {}
        with mock.patch.dict(os.environ, ENVIRON):
            exec(compile(ast.Module(kept, []), str(PATH), "exec"), names)
        value: dict[str, Any] = names["Q_CLUSTER"]
        return value


@cache
def sections() -> dict[str, str]:
    """Return the text below each heading, by the name of the setting."""
    pieces = _HEADING.split(PATH.read_text())
    head = pieces[0].partition("-------------\n")[2]  # below the title of the page
    found = {WHOLE: head, **dict(zip(pieces[1::2], pieces[2::2], strict=True))}
    last = next(reversed(found))
    found[last], _, footnote = found[last].partition(_FOOTNOTE)
    found["workers"] += f"\n{footnote}\n"  # it is referred to from there
    return found


@cache
def sentences() -> tuple[Sentence, ...]:
    """Return every sentence and every example, in the order of the document."""
    return tuple(
        Sentence(setting, text)
        for setting in sections()
        for text in [
            *_prose(setting),
            *(example.title for example in examples() if example.setting == setting),
        ]
    )


@cache
def examples() -> tuple[Example, ...]:
    """Return every block of code, in the order of the document."""
    found = []
    for setting in sections():
        code = [lines for is_code, lines in _blocks(setting) if is_code]
        found += [Example(setting, at, text) for at, text in enumerate(code, 1)]
    return tuple(found)


def example_of(setting: str, number: int = 1) -> dict[str, Any]:
    """Return the value of ``Q_CLUSTER`` in one example, new at each call."""
    (found,) = (e for e in examples() if (e.setting, e.number) == (setting, number))
    return found.q_cluster


def settings() -> list[str]:
    """Return the settings that the document describes, in its order."""
    return [name for name in sections() if name != WHOLE]


def _prose(setting: str) -> Iterator[str]:
    for is_code, text in _blocks(setting):
        if is_code:
            continue
        for part in re.split(r"^ *- ", text, flags=re.MULTILINE):
            for sentence in _END.split(" ".join(part.split())):
                if sentence:
                    yield sentence


def _blocks(setting: str) -> Iterator[tuple[bool, str]]:
    """Yield the paragraphs of a setting, and whether each is code."""
    code: list[str] = []
    expects_code = False
    for paragraph in re.split(r"\n[ \t]*\n", sections()[setting]):
        if not paragraph.strip():
            continue
        indented = paragraph.startswith("  ")
        if expects_code and indented:
            code.append(paragraph)
            continue
        if code:
            yield True, _dedent(code)
            code, expects_code = [], False
        expects_code = expects_code or paragraph.rstrip().endswith("::")
        expects_code = expects_code or ".. code::" in paragraph
        text = "\n".join(line for line in paragraph.splitlines() if _says(line))
        if ".. note::" in paragraph or ".. tip::" in paragraph:
            expects_code = False
        if text.strip():
            yield False, text
    if code:
        yield True, _dedent(code)


def _says(line: str) -> bool:
    """Whether a line is more than markup."""
    return not line.startswith((".. ", "----", "~~~"))


def _dedent(paragraphs: list[str]) -> str:
    return textwrap.dedent("\n\n".join(paragraphs)) + "\n"
