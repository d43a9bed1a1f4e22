"""A release is checked before anything changes, and a dry run changes nothing.

The first half needs git alone. The second half builds every distribution, in the session
``install``.
"""

from __future__ import annotations

import importlib
import io
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
FRAGMENT = "docs/changes/+one.fixed.md"

pytestmark = pytest.mark.live  # git, and what builds distributions


@pytest.fixture(scope="module")
def ci() -> Iterator[dict[str, ModuleType]]:
    """The programs of ``.ci/``, which is no package."""
    sys.path.insert(0, str(ROOT / ".ci"))
    names = ("artifacts", "versions", "release")
    yield {name: importlib.import_module(name) for name in names}
    sys.path.remove(str(ROOT / ".ci"))
    for name in names:
        del sys.modules[name]


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=A releaser", "-c", "user.email=releaser@example.com"]
    done = subprocess.run(
        ["git", *who, *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with two distributions and one fragment, all committed."""
    root = tmp_path / "repository"
    for name in ("qcore", "docs/changes", "plugins/qcore-table"):
        (root / name).mkdir(parents=True)
    (root / "pyproject.toml").write_text('[project]\nversion = "2.0.0"\n')
    (root / "qcore/__init__.py").write_text('__version__ = "2.0.0"\n')
    (root / "plugins/qcore-table/pyproject.toml").write_text('version = "2.0.0"\n')
    (root / FRAGMENT).write_text("One thing works now.\n")
    git(root, "init", "--quiet", "-b", "main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", "Begin")
    return root


# -- before anything is done -----------------------------------------------------------
def test_a_repository_in_order_can_be_released(ci, repository) -> None:
    assert ci["release"].obstacles(repository, "2.1.0") == []
    assert ci["release"].obstacles(repository, "2.0.1") == []


@pytest.mark.parametrize(
    "version",
    ["2.1", "2.1.0rc1", "2.1.0.dev3", "3.0.0", "1.9.0", "2.01.0", "v2.1.0", ""],
)
def test_a_version_that_is_not_final_is_refused(ci, repository, version) -> None:
    (said,) = ci["release"].obstacles(repository, version)
    assert "is not a final version of 2.x. Type, for example: 2.1.0" in said


def test_a_tree_with_changes_is_refused(ci, repository) -> None:
    (repository / "qcore/__init__.py").write_text('__version__ = "2.0.0"\n# more\n')
    (repository / "stray.txt").write_text("")
    (said,) = ci["release"].obstacles(repository, "2.1.0")
    assert "The tree is not clean" in said
    assert "qcore/__init__.py" in said
    assert "stray.txt" in said


@pytest.mark.parametrize("version", ["2.9.0", "2.10.0"])
def test_a_version_that_is_not_above_the_last_is_refused(
    ci, repository, version
) -> None:
    for tag in ("v2.9.0", "v2.10.0", "v2.x-notes"):  # 9 is below 10
        git(repository, "tag", tag)
    assert ci["release"].obstacles(repository, version) == [
        f"{version} is not above 2.10.0, which is released already."
    ]
    assert ci["release"].obstacles(repository, "2.10.1") == []


def test_distributions_with_several_versions_are_refused(ci, repository) -> None:
    project = repository / "plugins/qcore-table/pyproject.toml"
    project.write_text('version = "2.0.1"\n')
    git(repository, "commit", "--quiet", "-am", "Bump one")
    (said,) = ci["release"].obstacles(repository, "2.1.0")
    assert "qcore-table: 2.0.1" in said


def test_nothing_to_tell_is_nothing_to_release(ci, repository) -> None:
    git(repository, "rm", "--quiet", FRAGMENT)
    git(repository, "commit", "--quiet", "-m", "Take it back")
    assert ci["release"].obstacles(repository, "2.1.0") == [ci["release"].NO_FRAGMENTS]


# -- versions ----------------------------------------------------------------------------
def test_every_distribution_gets_the_version(ci, repository) -> None:
    ci["versions"].write(repository, "2.1.0")
    now = ci["versions"].read(repository)
    assert set(now.values()) == {"2.1.0"}
    assert len(now) == 3


def test_a_file_without_a_version_changes_none_of_them(ci, repository) -> None:
    (repository / "plugins/qcore-table/pyproject.toml").write_text("[project]\n")
    with pytest.raises(ValueError, match="has no line: version"):
        ci["versions"].write(repository, "2.1.0")
    assert '"2.0.0"' in (repository / "pyproject.toml").read_text()


def test_the_versions_of_this_repository_are_found(ci) -> None:
    now = ci["versions"].read(ROOT)
    assert len(now) >= 11
    assert len(set(now.values())) == 1


# -- what was built ------------------------------------------------------------------------
METADATA = (
    "Metadata-Version: 2.4\nName: qcore-table\nVersion: {version}\n{more}\n{text}"
)


def wheel(dist: Path, *extra: str, version="2.1.0", more="", text="A table.\n") -> None:
    """Write the wheel of ``qcore-table``; ``-name`` leaves a file out."""
    info = "qcore_table-2.1.0.dist-info"
    files = {"qcore_table/__init__.py", "qcore_table/py.typed", f"{info}/RECORD"}
    files |= {name for name in extra if not name.startswith("-")}
    files -= {name[1:] for name in extra}
    metadata = METADATA.format(version=version, more=more, text=text)
    with zipfile.ZipFile(dist / "qcore_table-2.1.0-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{info}/METADATA", metadata)
        for name in files:
            archive.writestr(name, "")


def sdist(dist: Path, *extra: str) -> None:
    files = {"pyproject.toml", "README.md", "PKG-INFO"}
    files |= {name for name in extra if not name.startswith("-")}
    files -= {name[1:] for name in extra}
    with tarfile.open(dist / "qcore_table-2.1.0.tar.gz", "w:gz") as archive:
        for name in files:
            archive.addfile(tarfile.TarInfo(f"qcore_table-2.1.0/{name}"), io.BytesIO())


def faults(ci, dist: Path) -> list[str]:
    found = ci["artifacts"].problems(dist, ["qcore-table"], "2.1.0")
    return [fault.partition(": ")[2] or fault for fault in found]


def test_files_in_order_have_no_fault(ci, tmp_path) -> None:
    wheel(tmp_path, more="Requires-Dist: qcore<3,>=2\nRequires-Dist: redis>=5\n")
    sdist(tmp_path, "qcore_table/__init__.py", "tests/test_contract.py")
    assert faults(ci, tmp_path) == []


@pytest.mark.parametrize(
    ("extra", "given", "fault"),
    [
        (("tests/test_a.py",), {}, "it holds tests"),
        (("-qcore_table/py.typed",), {}, "it lacks qcore_table/py.typed"),
        (("qcore_table/a.pyc",), {}, "it holds qcore_table/a.pyc"),
        ((), {"version": "2.0.0"}, "its metadata say version 2.0.0"),
        ((), {"text": ""}, "it has no description"),
        (
            (),
            {"more": "Requires-Dist: qcore>=1\n"},
            "it requires qcore>=1, which the foreign qcore 1.x may satisfy",
        ),
        (
            (),
            {"more": 'Requires-Dist: qcore-orm ; extra == "orm"\n'},
            "it requires qcore-orm, which the foreign qcore 1.x may satisfy",
        ),
    ],
)
def test_a_fault_of_a_wheel_is_found(ci, tmp_path, extra, given, fault) -> None:
    wheel(tmp_path, *extra, **given)
    sdist(tmp_path)
    assert faults(ci, tmp_path) == [fault]


@pytest.mark.parametrize(
    ("extra", "fault"),
    [
        ("-README.md", "it lacks README.md"),
        (".nox/tests/bin/python", "it holds .nox/tests/bin/python"),
        ("plugins/a.py", "it holds plugins/, which are distributions of their own"),
    ],
)
def test_a_fault_of_an_sdist_is_found(ci, tmp_path, extra, fault) -> None:
    wheel(tmp_path)
    sdist(tmp_path, extra)
    assert faults(ci, tmp_path) == [fault]


def test_what_is_missing_and_what_is_too_much_is_found(ci, tmp_path) -> None:
    wheel(tmp_path)
    (tmp_path / "qcore-1.11.1.tar.gz").write_text("")
    assert faults(ci, tmp_path) == [
        "qcore_table-2.1.0.tar.gz was not built",
        "qcore-1.11.1.tar.gz does not belong there",
    ]


# -- the whole -----------------------------------------------------------------------------
@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of this repository with all that is in the tree, committed."""
    folder = tmp_path / "clone"
    git(ROOT, "clone", "--quiet", str(ROOT), str(folder))
    files = git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    for name in filter(None, files.split("\0")):
        (folder / name).unlink(missing_ok=True)
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    git(folder, "config", "user.name", "A releaser")
    git(folder, "config", "user.email", "releaser@example.com")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", "As it is")
    return folder


def release(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, ".ci/release.py", *words]
    return subprocess.run(
        program, cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(
    not find_spec("towncrier"), reason="the session install has what a release needs"
)
def test_a_dry_run_changes_nothing_and_a_release_is_tagged(clone: Path) -> None:
    before = git(clone, "log", "--format=%H %D"), git(clone, "tag")
    fragments = sorted(clone.glob("docs/changes/+*.md"))
    assert fragments, "there is nothing to release; this test needs one fragment"

    done = release(clone, "2.91.0", "--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "## 2.91.0 (" in done.stdout
    assert "qcore_redis-2.91.0-py3-none-any.whl" in done.stdout
    assert (git(clone, "log", "--format=%H %D"), git(clone, "tag")) == before
    assert git(clone, "status", "--porcelain") == ""
    assert not (clone / "dist").exists()

    done = release(clone, "2.91.0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert git(clone, "tag", "--points-at", "HEAD").split() == ["v2.91.0"]
    assert git(clone, "log", "-1", "--format=%s").strip() == "Release 2.91.0"
    assert "## 2.91.0 (" in (clone / "docs/changelog.md").read_text()
    assert sorted(clone.glob("docs/changes/+*.md")) == []
    assert len(list((clone / "dist").iterdir())) == 2 * len(
        [clone, *clone.glob("plugins/*/pyproject.toml")]
    )
    assert git(clone, "status", "--porcelain") == ""

    again = release(clone, "2.91.0")  # the fragments are told, and the tag is there
    assert again.returncode == 1
    assert "2.91.0 is not above 2.91.0" in again.stderr
