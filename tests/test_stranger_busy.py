"""The contracts of the kit in a stranger's plugin, while the machine has other work.

A lease of such a test may not depend on how fast the machine is: whoever writes a plugin has
a machine that does other things as well. Slow; the session ``busy`` runs it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from support import busy
from support.bare_environment import Environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

KINDS = ("broker", "reporter", "cache", "scheduler", "store")


@pytest.fixture(scope="module")
def strangers(
    tmp_path_factory: pytest.TempPathFactory, _with_pip: Path, dist: Path
) -> tuple[Environment, Path]:
    """An environment with the core and pytest, and what ``qcore plugin new`` wrote there."""
    folder = tmp_path_factory.mktemp("busy")
    bare = Environment.like(_with_pip, folder / "bare")
    bare.pip("install", "-q", "--find-links", str(dist), "qcore>=2", "pytest")
    kinds = [word for kind in KINDS for word in ("--kind", kind)]
    bare.run("qcore", "plugin", "new", "acme", "--path", str(folder), *kinds)
    plugin = folder / "qcore-acme"
    bare.pip("install", "-q", "--find-links", str(dist), "-e", str(plugin))
    return bare, plugin


@pytest.mark.parametrize("time", [1, 2, 3])
def test_it_keeps_its_contracts(strangers: tuple[Environment, Path], time: int) -> None:
    bare, plugin = strangers
    with busy.loops(4):
        said = bare.typed("python -m pytest -q -p no:cacheprovider", plugin)
    assert " passed" in said
    assert "failed" not in said
