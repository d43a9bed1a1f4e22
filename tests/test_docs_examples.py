"""What the README and the manual show is run: in a project, with a real cluster."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest
from documents import session
from documents.blocks import Block, blocks, name_of, pages
from documents.project import DATABASE, Project

README, *MANUAL = pages()
#: Run by tests of their own: tests/test_tutorial.py types the tutorial step by step,
#: tests/test_feature_page.py installs the plugin of that page, and tests/test_come_from.py
#: runs the projects of users of other queues.
ELSEWHERE = {
    "docs/tutorial/broker.md",
    "docs/how-to/write-a-feature.md",
    *(
        f"docs/how-to/come-from-{name}.md"
        for name in ("celery", "rq", "huey", "django-tasks-db")
    ),
}
WITH_CODE = [
    page
    for page in MANUAL
    if any(blocks(page, "python")) and name_of(page) not in ELSEWHERE
]


def test_the_manual_has_examples() -> None:
    assert len(WITH_CODE) >= 8


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the tables of the settings that the pages presume."""
    pytest.importorskip("qcore_orm")
    folder = tmp_path_factory.mktemp("migrated")
    return Project.with_settings(folder).folder / DATABASE


@pytest.mark.live
@pytest.mark.parametrize("page", WITH_CODE, ids=name_of)
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path, migrated: Path) -> None:
    project = Project.with_settings(tmp_path, migrated)
    shown = list(blocks(page, "python"))
    for block in shown:
        if block.file and Path(block.file).name != "settings.py":
            project.write(str(block.file), block.text)
    project.write("blocks.json", json.dumps([_told(page, block) for block in shown]))
    words = [sys.executable, session.__file__, "blocks.json"]
    with project.cluster():
        project.run(shlex.join(words))
    run_tests_of(project, shown)


def _told(page: Path, block: Block) -> dict[str, object]:
    return {
        "page": name_of(page),
        "line": block.line,
        "text": block.text,
        "file": block.file,
        "session": block.is_session,
    }


def run_tests_of(project: Project, shown: list[Block]) -> None:
    """Run the tests that a page shows; of contracts see that pytest collects them."""
    files = {block.file or "" for block in shown}
    if any(file.startswith("shop/test_") for file in files):
        said = project.run("django-admin test shop")
        assert "Ran 0 tests" not in said
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    if "conftest.py" in files:
        project.run(shlex.join([*words, "tests"]))
        return
    if contracts := sorted(file for file in files if file.startswith("tests/test_")):
        project.run(shlex.join([*words, "--collect-only", *contracts]))


@pytest.mark.live
def test_the_five_minutes_of_the_readme(tmp_path: Path) -> None:
    """Every block between the installation and the result, in the order of the page."""
    pytest.importorskip("qcore_orm")
    project = Project(tmp_path)
    clusters = []
    sessions = []
    for block in blocks(README, "sh", "python", "pycon"):
        if block.language == "pycon":
            sessions.append(block)
        elif block.file:
            project.write(block.file, block.text)
        else:
            for line in block.text.splitlines():
                if line == "qcore cluster":
                    clusters.append(line)
                elif line.startswith("cd "):
                    project.folder /= line.removeprefix("cd ")
                elif not line.startswith(("pip ", "python3 noxfile.py")):
                    # pip is what tests/test_install.py proves
                    project.run(line)
    assert len(clusters) == len(sessions) == 1
    typed = [
        line[4:] for line in sessions[0].text.splitlines() if line[:3] in (">>>", "...")
    ]
    expected = [
        line for line in sessions[0].text.splitlines() if line[:3] not in (">>>", "...")
    ]
    with project.cluster(clusters[0]):
        typed[-1] = f"print({typed[-1].partition('  #')[0]})"
        said = project.run("python manage.py shell", stdin="\n".join(typed))
    assert said.splitlines()[-len(expected) :] == expected
