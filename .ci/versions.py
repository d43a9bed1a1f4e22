"""Give all distributions of this repository one version: ``versions.py 2.1.0``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

LINE = re.compile(r'^(version|__version__) = "(.*)"$', re.MULTILINE)
#: A pre-release would lose to the foreign qcore 1.x of the public index, and the major
#: number also stands in every requirement on ourselves.
FINAL = re.compile(r"2\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


def files(root: Path) -> list[Path]:
    """Return every file with the version of a distribution, the core's first."""
    plugins = sorted(root.glob("plugins/*/pyproject.toml"))
    return [root / "pyproject.toml", root / "qcore" / "__init__.py", *plugins]


def read(root: Path) -> dict[Path, str]:
    """Return the version that each file has; "" where it has none."""
    found = {path: LINE.search(path.read_text()) for path in files(root)}
    return {path: match[2] if match else "" for path, match in found.items()}


def write(root: Path, version: str) -> None:
    """Write one version into every file.

    Raises:
        ValueError: the version is not a final one of 2.x, or a file has no such line.
    """
    if not FINAL.fullmatch(version):
        raise ValueError(
            f"{version!r} is not a final version of 2.x. Type, for example: 2.1.0"
        )
    without = [path for path, found in read(root).items() if not found]
    if without:
        raise ValueError(f"{without[0].relative_to(root)} has no line: version = ...")
    for path in files(root):
        text = path.read_text()
        path.write_text(LINE.sub(rf'\1 = "{version}"', text, count=1))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("expected one version: -s bump -- 2.1.0")
    try:
        write(ROOT, sys.argv[1])
    except ValueError as error:
        raise SystemExit(str(error)) from None
    for file, now in read(ROOT).items():
        print(f"{file.relative_to(ROOT)}: {now}")
