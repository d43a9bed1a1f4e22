"""A reader who types a page from top to bottom: files, commands, sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from .blocks import Block, blocks
from .project import Project

CLUSTER = "qcore cluster"


class Reader:
    """Follows a page in the folder of a project.

    A block of Python that names a file goes to the end of that file, or in its place
    where its first line says "written anew". Lines of shell run one after the other. A
    session is typed into ``python manage.py shell`` while the cluster runs that the
    block before has started, and must print what the page shows.

    Args:
        project: where; its folder changes with ``cd``.
        type_instead: what to do instead of some lines, by how they begin.
    """

    def __init__(
        self,
        project: Project,
        type_instead: dict[str, Callable[[str], None]] | None = None,
    ) -> None:
        self.project = project
        self.type_instead = type_instead or {}
        self.done: list[str] = []  # what was typed, for a test to look at

    def follow(self, page: Path, until: str | None = None) -> None:
        """Type everything, or what stands above the heading ``until``."""
        end = None
        if until is not None:
            end = page.read_text().splitlines().index(f"## {until}") + 1
        shown = blocks(page, "sh", "python", "pycon")
        for block in shown:
            if end is not None and block.line > end:
                break
            if block.language == "python":
                self.write(block)
            else:
                self.type(block, shown)

    def write(self, block: Block) -> None:
        """Put a file where the page says."""
        assert block.file, f"line {block.line}: which file is this?"
        first = block.text.splitlines()[0]
        if first.endswith("written anew"):
            (self.project.folder / block.file).unlink()
        self.project.write(block.file, block.text)

    def type(self, block: Block, following: Iterator[Block]) -> None:
        """Run the lines of a block; a cluster runs while the next session is typed."""
        for line in block.text.splitlines():
            self.done.append(line)
            if line == CLUSTER:
                session = next(following)
                assert session.language == "pycon", f"line {session.line}: no session"
                with self.project.cluster(line):
                    self.talk(session)
            else:
                self.run(line)

    def run(self, line: str) -> None:
        for beginning, instead in self.type_instead.items():
            if line.startswith(beginning):
                instead(line)
                return
        if line.startswith("cd "):
            self.project.folder /= line.removeprefix("cd ")
        else:
            self.project.run(line)

    def talk(self, session: Block) -> None:
        """Type a session, and compare what its last line prints."""
        lines = session.text.splitlines()
        typed = [line[4:] for line in lines if line[:3] in (">>>", "...")]
        expected = [line for line in lines if line[:3] not in (">>>", "...")]
        typed[-1] = f"print({typed[-1]})"
        said = self.project.run("python manage.py shell", stdin="\n".join(typed))
        assert said.splitlines()[-len(expected) :] == expected
        self.done += typed
