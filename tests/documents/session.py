"""Runs the examples of one page: ``python session.py blocks.json``, in a project.

A block with prompts must print what it shows, other blocks must run, settings must
be right, and what a plugin shows must be accepted by the registry.
"""

from __future__ import annotations

import doctest
import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import django

from qcore.testing.speed import Patience

#: Seconds that the cluster has to say that it runs.
START = 60.0
#: How many times longer the examples wait for results than the page says.
SLOWER = 10


def main(path: str) -> int:
    django.setup()
    be_patient()
    await_cluster()
    names: dict[str, Any] = {"__name__": "__main__"}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    for block in json.loads(Path(path).read_text()):
        code = "\n" * block["line"] + block["text"]
        if block["session"]:
            parsed = doctest.DocTestParser().get_doctest(
                block["text"], names, block["page"], block["page"], block["line"]
            )
            parsed.globs = names  # it makes a copy; the blocks of a page share names
            runner.run(parsed, clear_globs=False)
        elif block["file"] is None:
            exec(compile(code, block["page"], "exec"), names)
        elif Path(block["file"]).name == "settings.py":
            check_settings(compile(code, block["page"], "exec"))
        elif "test" not in block["file"]:  # tests and their conftest run by themselves
            check_module(block["file"])
    return 1 if runner.failures else 0


def be_patient() -> None:
    """Wait longer for results, for a reader's machine is not as busy as one of tests."""
    from qcore.tasks import alookup, lookup

    for module, name in ((lookup, "wait_for"), (alookup, "await_for")):
        real = getattr(module, name)
        setattr(module, name, lambda ask, wait, real=real: real(ask, SLOWER * wait))


def await_cluster() -> None:
    from qcore.status import snapshots

    deadline = Patience(START)
    while not any(snapshot.state == "running" for snapshot in snapshots()):
        if deadline.is_over():
            raise SystemExit("no cluster is running")
        time.sleep(0.05)


def check_settings(code: Any) -> None:
    from django.core import checks
    from django.test import override_settings

    # what `startproject` writes, to which a page adds
    names: dict[str, Any] = {"INSTALLED_APPS": [], "DATABASES": {"default": {}}}
    exec(code, names)
    with override_settings(Q_CLUSTER=names.get("Q_CLUSTER", {})):
        wrong = [one for one in checks.run_checks(tags=["qcore"]) if one.is_serious()]
    if wrong:
        raise SystemExit(f"the settings are wrong: {wrong}")


def check_module(file: str) -> None:
    from qcore.plugins import Plugin, Registry

    name = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    module = importlib.import_module(name)
    if any(word.startswith("qcore_") for word in vars(module)):
        registry = Registry(only=[])
        registry.register(module, Plugin(name, name, "1.0", module=name))
        for kind in ("broker", "error reporter"):
            for provider in registry.providers(kind).values():
                provider.load()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
