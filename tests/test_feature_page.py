"""The plugin of ``docs/how-to/write-a-feature.md`` keeps the contract that the page names."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest
from documents.blocks import ROOT, blocks
from documents.project import Project

PAGE = ROOT / "docs" / "how-to" / "write-a-feature.md"

ENTRY_POINT = "[qcore]\naccounts = qcore_accounts\n"
METADATA = "Metadata-Version: 2.1\nName: qcore-accounts\nVersion: 1.0.0\n"


@pytest.mark.live
def test_the_feature_of_the_page_keeps_its_contract(tmp_path: Path) -> None:
    pytest.importorskip("qcore_orm")  # the settings of the project name it
    project = Project.with_settings(tmp_path)
    for block in blocks(PAGE, "python"):
        assert block.file, f"{PAGE}:{block.line} shows no file"
        project.write(block.file, block.text)
    # as its installation would do
    info = project.folder / "qcore_accounts-1.0.0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text(ENTRY_POINT)
    (info / "METADATA").write_text(METADATA)
    settings = next(project.folder.glob("*settings.py"))
    with settings.open("a") as file:
        file.write("\nINSTALLED_APPS += ['qcore_accounts']\n")
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    words += ["-p", "no:xdist", f"--ds={settings.stem}", "tests"]
    said = project.run(shlex.join(words))
    assert " passed" in said
    assert "skipped" not in said
