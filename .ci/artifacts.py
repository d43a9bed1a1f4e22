"""What the sdists and wheels of a release must be, whoever has built them."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

#: What belongs to a working tree, and never into a distribution.
STRAY = (".nox/", ".git/", "__pycache__/", ".pyc", "db.sqlite3")

#: Distribution -> its package, where that is not the name of the distribution.
PACKAGES = {"qcore-django-q": "django_q"}


def problems(dist: Path, names: list[str], version: str) -> list[str]:
    """Return what is wrong with the files in ``dist``, one sentence for each fault.

    Args:
        names: of the distributions, such as "qcore-redis".
        version: that all of them must have.
    """
    found: list[str] = []
    wanted = set()
    for name in names:
        stem = f"{name.replace('-', '_')}-{version}"
        wheel, sdist = dist / f"{stem}-py3-none-any.whl", dist / f"{stem}.tar.gz"
        wanted |= {wheel.name, sdist.name}
        if wheel.exists():
            found += (
                f"{wheel.name}: {fault}" for fault in _wheel(wheel, name, version)
            )
        if sdist.exists():
            found += (f"{sdist.name}: {fault}" for fault in _sdist(sdist))
    there = {path.name for path in dist.iterdir()}
    found += (f"{name} was not built" for name in sorted(wanted - there))
    found += (f"{name} does not belong there" for name in sorted(there - wanted))
    return found


def _wheel(path: Path, name: str, version: str) -> Iterator[str]:
    """Yield the faults of a wheel: it holds one package, typed, and its metadata."""
    stem = name.replace("-", "_")
    package = PACKAGES.get(name, stem)
    info = f"{stem}-{version}.dist-info"
    with zipfile.ZipFile(path) as wheel:
        files = wheel.namelist()
        metadata = HeaderParser().parsestr(wheel.read(f"{info}/METADATA").decode())
    yield from _strays(files)
    for top in sorted({file.partition("/")[0] for file in files} - {package, info}):
        yield f"it holds {top}"
    for needed in (f"{package}/__init__.py", f"{package}/py.typed"):
        if needed not in files:
            yield f"it lacks {needed}"
    if metadata["Version"] != version:
        yield f"its metadata say version {metadata['Version']}"
    if not metadata.get_payload():
        yield "it has no description"
    for need in metadata.get_all("Requires-Dist") or []:
        requirement = need.partition(";")[0].replace(" ", "")
        if requirement.startswith("qcore") and not requirement.endswith(
            (">=2,<3", "<3,>=2")
        ):
            yield f"it requires {requirement}, which the foreign qcore 1.x may satisfy"


def _sdist(path: Path) -> Iterator[str]:
    """Yield the faults of an sdist: it can be built, read and shared."""
    with tarfile.open(path) as sdist:
        files = [member.name.partition("/")[2] for member in sdist.getmembers()]
    yield from _strays(files)
    for needed in ("pyproject.toml", "README.md", "PKG-INFO"):
        if needed not in files:
            yield f"it lacks {needed}"
    if any(file.startswith("plugins/") for file in files):
        yield "it holds plugins/, which are distributions of their own"


def _strays(files: list[str]) -> Iterator[str]:
    for file in files:
        if any(word in file for word in STRAY):
            yield f"it holds {file}"
