"""Make a release: ``python3 noxfile.py -s release -- 2.1.0 [--dry-run]``.

Everything is done in a clone in a temporary folder: the version is written, the fragments
of changes become a section of the changelog, all distributions are built and checked, and
the commit is tagged. When all of that has worked, this repository takes over the commit,
the tag and ``dist/``. So a release that fails changes nothing here, and neither does a
dry run. Nothing is pushed and nothing is uploaded.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import artifacts
import versions

NO_FRAGMENTS = "docs/changes/ has no fragment, so there is nothing to release."


def run(folder: Path, *words: str) -> str:
    """Run a program in a folder and return what it writes.

    Raises:
        SystemExit: it has failed; its output says why.
    """
    done = subprocess.run(
        words,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{done.stdout}\nThis has failed: {' '.join(words)}")
    return done.stdout


def number(version: str) -> tuple[int, ...]:
    """Return a version as numbers that can be compared."""
    return tuple(map(int, version.split(".")))


def obstacles(root: Path, version: str) -> list[str]:
    """Return why this version cannot be released from the repository ``root``."""
    if not versions.FINAL.fullmatch(version):
        return [f"{version!r} is not a final version of 2.x. Type, for example: 2.1.0"]
    found = []
    if changed := run(root, "git", "status", "--porcelain"):
        found.append(f"The tree is not clean. Commit or stash:\n{changed.rstrip()}")
    tags = run(root, "git", "tag", "--list", "v2.*").split()
    numbers = [tag[1:] for tag in tags if versions.FINAL.fullmatch(tag[1:])]
    newest = max(numbers, key=number, default="2.0.0")
    if number(version) <= number(newest):
        found.append(f"{version} is not above {newest}, which is released already.")
    now = versions.read(root)
    if len(set(now.values())) != 1:
        said = ", ".join(f"{file.parent.name}: {one}" for file, one in now.items())
        found.append(f"The distributions have several versions: {said}.")
    if not list((root / "docs" / "changes").glob("+*.md")):
        found.append(NO_FRAGMENTS)
    return found


def write_changelog(clone: Path, version: str) -> str:
    """Join the fragments into the changelog, delete them, and return the new section.

    Raises:
        SystemExit: a fragment was left out, or the section is not where it should be.
    """
    run(
        clone, sys.executable, "-m", "towncrier", "build", "--yes", "--version", version
    )
    if left := list((clone / "docs" / "changes").glob("+*.md")):
        names = ", ".join(path.name for path in left)
        raise SystemExit(
            f"towncrier left out {names}. A fragment is named +<slug>.<type>.md, with a"
            " type that docs/changes/README.md lists."
        )
    text = (clone / "docs" / "changelog.md").read_text()
    _, heading, rest = text.partition(f"## {version} (")
    if not heading:
        raise SystemExit(f"docs/changelog.md has no section for {version}.")
    return heading + rest.partition("\n## ")[0]


def build(clone: Path, names: dict[str, Path], version: str) -> Path:
    """Build all distributions and return their folder.

    Raises:
        SystemExit: one cannot be built, or is not what it should be.
    """
    dist = clone / "dist"
    for folder in names.values():
        words = ("-m", "build", "--no-isolation", "-o", str(dist), str(folder))
        run(clone, sys.executable, *words)
    if found := artifacts.problems(dist, [*names], version):
        raise SystemExit("\n".join(found))
    files = map(str, sorted(dist.iterdir()))
    run(clone, sys.executable, "-m", "twine", "check", "--strict", *files)
    return dist


def distributions(root: Path) -> dict[str, Path]:
    """Return the folder of each distribution by its name, the core first."""
    plugins = sorted(path.parent for path in root.glob("plugins/*/pyproject.toml"))
    return {"qcore": root, **{folder.name: folder for folder in plugins}}


def make(root: Path, version: str, *, dry: bool) -> None:
    """Release a version, or try whether it could be released.

    Raises:
        SystemExit: something stands in the way; the repository is as it was.
    """
    if found := obstacles(root, version):
        raise SystemExit("\n".join(found))
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "qcore"
        run(root, "git", "clone", "--quiet", str(root), str(clone))
        for key in ("user.name", "user.email"):  # this repository may have its own
            run(clone, "git", "config", key, run(root, "git", "config", key).strip())
        versions.write(clone, version)
        print(write_changelog(clone, version))
        run(clone, "git", "add", "--all")
        run(clone, "git", "commit", "--quiet", "-m", f"Release {version}")
        dist = build(clone, distributions(clone), version)
        print(*sorted(path.name for path in dist.iterdir()), sep="\n")
        run(clone, "git", "tag", "-a", f"v{version}", "-m", f"qcore {version}")
        if dry:
            print(f"{version} can be released. This was a dry run: nothing is changed.")
            return
        run(root, "git", "fetch", "--quiet", str(clone), f"refs/tags/v{version}")
        run(root, "git", "merge", "--quiet", "--ff-only", "FETCH_HEAD")
        run(root, "git", "fetch", "--quiet", str(clone), "tag", f"v{version}")
        shutil.rmtree(root / "dist", ignore_errors=True)
        shutil.copytree(dist, root / "dist")
    print(f"{version} is committed, tagged v{version} and built into dist/. Now type:")
    print("git push --follow-tags")


def main(words: list[str]) -> None:
    """Read the command line and make a release."""
    parser = argparse.ArgumentParser(prog="-s release --", description=__doc__)
    parser.add_argument("version", help="such as 2.1.0")
    parser.add_argument("--dry-run", action="store_true", help="change nothing")
    asked = parser.parse_args(words)
    make(Path(__file__).resolve().parents[1], asked.version, dry=asked.dry_run)


if __name__ == "__main__":
    main(sys.argv[1:])
