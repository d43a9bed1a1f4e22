"""What a plain project does not use is not loaded: neither by its cluster nor by its callers.

Each module takes about 25 kB of a cluster's memory and half a millisecond of its start.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.cli_project import clean_environment

#: What people and their tools ask, and no cluster; names are below ``qcore``.
TOOLS = """admin backend bench demo listing management monitor.look testing
    doctor.examination doctor.services cli.info cli.monitor cli.dead cli.retry"""
#: What tasks may call, and does not run them.
CALLS = """tasks.alookup tasks.async_variants tasks.chains tasks.control tasks.dead
    tasks.iters tasks.lookup tasks.one tasks.resending"""
#: What a project has to ask for: bands, schedules in code, tasks that are tracked or tried.
FEATURES = "brokers.banded schedules.declared schedules.sync"
DECLARING = "tasks.decorator tasks.task_function"
SENDING = "tasks.enqueueing tasks.inline"
RUNNING = "tasks.execute tasks.follow_up tasks.inline tasks.timer cluster engine ledger"

# What is loaded before a fork is in the memory of all processes of the cluster.
SETTINGS = """
from shop_settings import *
import os
import sys

def note():
    with open("loaded.txt", "w") as file:
        file.write(" ".join(sys.modules))

os.register_at_fork(before=note)
"""
CALL = """
import sys
import django
django.setup()
from qcore.tasks import async_task
async_task("math.sqrt", 4)
print(*sys.modules)
"""


def environment(**more: str) -> dict[str, str]:
    return clean_environment(QCORE_PLUGINS="orm", **more)


def loaded_too_much(loaded: str, *unused: str) -> list[str]:
    """Return the modules of qcore that are loaded, of those that are not used."""
    names = tuple(f"qcore.{name}" for word in unused for name in word.split())
    modules = loaded.split()
    assert "qcore.runtime" in modules
    return [
        module
        for module in modules
        if module in names or module.startswith(tuple(f"{name}." for name in names))
    ]


@pytest.mark.parametrize(
    "name",
    [name for names in (TOOLS, CALLS, FEATURES, DECLARING, SENDING, RUNNING)
     for name in names.split()],
)  # fmt: skip
def test_the_modules_are_there(name: str) -> None:
    package = Path(__file__).parents[2] / "qcore" / name.replace(".", "/")
    assert package.is_dir() or package.with_suffix(".py").exists()


@pytest.mark.live
def test_a_plain_cluster_loads_no_more_than_it_uses(project: Path) -> None:
    (project / "noting_settings.py").write_text(SETTINGS)
    subprocess.run(
        [sys.executable, "-m", "qcore", "cluster", "--run-once"],
        cwd=project,
        env=environment(DJANGO_SETTINGS_MODULE="noting_settings"),
        capture_output=True,
        check=True,
    )
    loaded = (project / "loaded.txt").read_text()
    assert not loaded_too_much(loaded, TOOLS, CALLS, FEATURES, DECLARING, SENDING)
    # what every task needs is there before the first fork
    assert {"qcore.tasks.execute", "qcore_orm.broker"} <= set(loaded.split())


@pytest.mark.live
def test_a_plain_caller_loads_no_more_than_it_uses(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CALL],
        cwd=project,
        env=environment(DJANGO_SETTINGS_MODULE="shop_settings"),
        capture_output=True,
        text=True,
        check=True,
    )
    unused = (TOOLS, CALLS, FEATURES, DECLARING, RUNNING)
    assert not loaded_too_much(done.stdout, *unused)
