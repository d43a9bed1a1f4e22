"""Write a plugin of your own: a package that works, with tests of its contract.

A broker begins as one that keeps its queue in a folder; an error reporter,
a cache backend, a scheduler and a result store begin with a file. Each can be
installed and passes its tests at once; its README.md says what to replace.
--kind may be given several times, for a plugin with several kinds. The command
works outside of a Django project.
"""

from __future__ import annotations

import shlex
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TextIO

from .exits import OK, REFUSED
from .output import complain, write_lines

HELP = "write the files of a new plugin"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument(
        "action", choices=["new"], metavar="new", help="write the files of a new plugin"
    )
    parser.add_argument(
        "name",
        metavar="NAME",
        help="name of the plugin: the package is qcore-NAME, the key of Q_CLUSTER is NAME",
    )
    parser.add_argument(
        "--kind",
        action="append",
        choices=["broker", "reporter", "cache", "scheduler", "store"],
        metavar="KIND",
        help="broker (the default), reporter, cache, scheduler or store; may be repeated",
    )
    parser.add_argument(
        "--path",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="folder that gets the new folder (default: the current folder)",
    )
    parser.add_argument(
        "--version",
        default="0.1.0",
        metavar="NUMBER",
        help="version of the plugin (default: 0.1.0)",
    )


def run(options: Namespace, out: TextIO) -> int:
    """Write the plugin and say what to type next; 5 says that something is in the way."""
    from ..errors import ConfigError
    from .scaffold import plan

    made = plan(options.name, options.kind or ["broker"], options.version)
    if not options.path.is_dir():
        raise ConfigError(f"--path: there is no folder {options.path}. Make it first.")
    folder = options.path / made.distribution
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        complain(
            f"qcore plugin new: {folder} is there already, and nothing is overwritten."
            " Choose another name, or another place with --path.\n"
        )
        return REFUSED
    made.write(folder)
    write_lines(
        out,
        [
            f"{folder}: {len(made.files())} files. It works as it is; type:",
            "",
            f"  cd {shlex.quote(str(folder))}",
            "  pip install -e . pytest",
            "  python -m pytest",
            "",
            "Then read README.md: it says which parts to replace by your own service.",
        ],
    )
    return OK
