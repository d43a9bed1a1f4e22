"""Everything in the tutorial is typed, from top to bottom, and does what it says.

Twice: its first half where the tests run; and all of it, word by word, in an
environment with nothing but what the page asks for (slow; the session ``install``).
"""

from __future__ import annotations

import importlib.util
import json
import shlex
import sys
from pathlib import Path

import pytest
from documents.blocks import blocks
from documents.project import Project
from documents.reader import CLUSTER, Reader
from support.bare_environment import ROOT, VERSION, Environment

PAGE = ROOT / "docs" / "tutorial" / "broker.md"


@pytest.mark.live
@pytest.mark.skipif(
    not importlib.util.find_spec("msgspec"), reason="the session install has no qcore"
)
@pytest.mark.timeout(200)
def test_a_broker_of_a_project_runs_and_keeps_the_contract(tmp_path: Path) -> None:
    """``broker_class`` names a class of the project; a real cluster works on it."""
    reader = Reader(Project(tmp_path))
    reader.follow(PAGE, until="5. Say what it can do")
    assert CLUSTER in reader.done
    assert reader.done[-1] == "python -m pytest -q tests"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_tutorial(bare: Environment, dist: Path, tmp_path: Path) -> None:
    bare.pip("install", "-q", "--find-links", str(dist), "qcore>=2", "pytest>=8")
    assert bare.versions()["qcore"] == VERSION
    project = Project(tmp_path)
    project.use_programs(bare.folder / "bin")

    reader = Reader(project)
    reader.follow(PAGE)

    typed = [
        line for block in blocks(PAGE, "sh") for line in block.text.splitlines() if line
    ]
    assert [line for line in reader.done if line in typed] == typed
    assert bare.plugins()["table"]["state"] == "ok"
    certificate = json.loads((project.folder / "certificate.json").read_text())
    assert certificate["plugin"] == "table"
    (suite,) = (one for one in certificate["suites"] if one["broker"])
    assert suite["failed"] == []
    assert suite["broker"]["capabilities"]["extend"] is True


@pytest.mark.live
def test_what_a_page_shows_wrongly_is_found(tmp_path: Path) -> None:
    """So that the tests above can fail."""
    page = tmp_path / "page.md"
    page.write_text("```sh\nexit 3\n```\n")
    with pytest.raises(AssertionError, match="exit 3: 3"):
        Reader(Project(tmp_path)).follow(page)
    page.write_text("```python\nx = 1\n```\n")
    with pytest.raises(AssertionError, match="line 1: which file"):
        Reader(Project(tmp_path)).follow(page)


@pytest.mark.live
def test_files_grow_and_are_written_anew(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    show = f"{shlex.quote(sys.executable)} one.py > said"
    page.write_text(
        "```python\n# one.py\nx = 1\n```\n"
        "```python\n# one.py, at the end\nprint(x + 1)\n```\n"
        f"```sh\n{show}\n```\n"
        "## Later\n"
        "```python\n# one.py, written anew\nprint('new')\n```\n"
    )
    Reader(Project(tmp_path)).follow(page, until="Later")
    assert (tmp_path / "said").read_text() == "2\n"
    (tmp_path / "one.py").unlink()
    Reader(Project(tmp_path)).follow(page)
    assert "x = 1" not in (tmp_path / "one.py").read_text()
