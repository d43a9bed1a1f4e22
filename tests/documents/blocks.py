"""The blocks of code in a page of the manual, and its headings and links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w{}]*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)
# The first line of a block that is a file: `# shop/tasks.py`, perhaps with a remark.
_FILE = re.compile(r"# (?P<name>[\w./-]+\.py)\b.*\n")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of code."""

    language: str
    text: str
    line: int  # of its fence, from 1

    @property
    def file(self) -> str | None:
        """The file that it shows, or None."""
        found = _FILE.match(self.text)
        return found["name"] if found else None

    @property
    def is_session(self) -> bool:
        """Whether it shows an interactive session."""
        return self.text.lstrip().startswith(">>>")


def pages() -> list[Path]:
    """Return the README, those of folders, and the pages of the manual."""
    found = (ROOT / "docs").rglob("*.md")
    manual = sorted(page for page in found if "_build" not in page.parts)
    ours = [ROOT / name / "README.md" for name in ("", "plugins", "tests")]
    ours += [ROOT / ".github" / name for name in ("CONTRIBUTING.md", "SECURITY.md")]
    return [*ours, *manual]


def name_of(page: Path) -> str:
    """Return the path of a page for the ids of tests."""
    return str(page.relative_to(ROOT))


def blocks(page: Path, *languages: str) -> Iterator[Block]:
    """Yield the blocks of a page, those of some languages only if any are given."""
    text = page.read_text()
    for found in _FENCE.finditer(text):
        if not languages or found["language"] in languages:
            line = text.count("\n", 0, found.start()) + 1
            yield Block(found["language"], found["text"], line)


def prose(page: Path) -> str:
    """Return a page without its blocks."""
    return _FENCE.sub("", page.read_text())


def headings(page: Path) -> list[str]:
    """Return the headings of a page."""
    return re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)


def anchor(heading: str) -> str:
    """Return the anchor of a heading, as code hosts and MyST make it."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


def links(page: Path) -> list[str]:
    """Return the targets of a page's links that lead into the repository."""
    found = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    return [target for target in found if "://" not in target]
