"""Run the tests of django-q2 itself, with django-q2 and with the drop-in, by hand.

::

    python tests/support/predecessor_suite.py

It needs ``redis-server`` and the package index, and takes some ten minutes: tests that wait
for parts which the drop-in lacks end with a timeout. The tests come with the wheel of
django-q2, and are never part of this repository. They are not changed; their settings get
the address of a Redis server of this run, and the names under which we have put them.

What it prints is the table in docs/reference/django-q-suite.md, with the reasons of ``WHY``.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parents[2]
VERSION = "1.11.0"
#: Seconds of a test at most.
LONGEST = 60
SERVICES = ["redis", "django-redis", "hiredis", "boto3", "iron-mq", "pymongo"]
TOOLS = ["croniter", "blessed", "psutil", "setproctitle", "setuptools<81"]
PYTEST = ["django>=5.2,<6", "pytest", "pytest-django", "pytest-timeout"]
OURS = [".", "plugins/qcore-orm", "plugins/qcore-redis", "plugins/qcore-django-q"]

SETTINGS = """
import os

import django_q

django_q.__path__.append(os.environ["SUITE"])
from django_q.tests.settings import *

CACHES["default"]["LOCATION"] = os.environ["SUITE_REDIS"]
Q_CLUSTER = Q_CLUSTER | {"redis": os.environ["SUITE_REDIS"]}
DATABASES["default"]["NAME"] = os.environ["SUITE_DATABASE"]
ROOT_URLCONF = "django_q.tests.urls"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
"""

#: Threads that a test has left running would keep pytest from its end.
END = """
import os


def pytest_unconfigure():
    os._exit(0)
"""

_PARTS = "starts a Sentinel and workers in the test's process, which qcore has not"
_CALL = "a call that cannot work is refused where it is made, and not in the cluster"
#: Why a test fails under the drop-in.
WHY = {
    "test_admin_views": _CALL + " (a schedule of the function `test`)",
    "test_cached": _CALL + " (`math.popysign`)",
    "test_enqueue": _CALL + " (too many arguments)",
    "test_intended_schedule_kwarg": _CALL + " (`math.copysign` has no such argument)",
    "test_sync": "counts the letters of django-q's list of words; ours is another one",
    "test_cluster": "counts the letters of django-q's list of words; ours is another one",
    "test_orm": "gives the broker receipts that it has made itself",
    "test_custom": "wants the class of the broker, which is wrapped here",
    "test_broker_set_stat_prunes_stale_master_list": "the cache of a broker's own statistics",
    "test_cluster_early_stop": _PARTS,
    "test_timeout": _PARTS,
    "test_timeout_task_finishes": _PARTS,
    "test_recycle": _PARTS,
    "test_save_limit_per_func": _PARTS,
    "test_max_rss": _PARTS,
    "test_bad_secret": _PARTS,
    "test_monitor": _PARTS,
    "test_acknowledge_failure_override": "fills the queue of the monitor with dictionaries",
    "test_scheduler": "reads the queue between scheduler and workers",
    "test_scheduler_daylight_saving_time_daily": "a hundred missed slots are made up in one look, and not one",
    "test_scheduler_atomic_must_specify_the_write_db": "patches the inside of its scheduler",
    "test_scheduler_atomic_must_specify_the_database_based_on_router_redirection": (
        "patches the inside of its scheduler"
    ),
    "test_schedule_save_sets_next_run_for_cron": (
        "a schedule of the type cron has its first slot once it is saved"
    ),
    "test_schedule_save_direct_db": "finds what the tests before it have left in the queue",
}


def made(folder: Path, words: list[str]) -> Path:
    """Make an environment with these distributions; return its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", *words], check=True, cwd=ROOT)
    return python


def fetched(folder: Path) -> Path:
    """Download django-q2; return the folder that has its folder of tests."""
    wanted = f"django-q2=={VERSION}"
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps"]
    subprocess.run([*pip, "-d", str(folder), wanted], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = [n for n in archive.namelist() if n.startswith("django_q/tests/")]
        archive.extractall(folder, names)
    return folder / "django_q"


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Run a Redis server of one's own; yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    words = ["redis-server", "--port", str(port), "--save", "", "--dir", str(folder)]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    try:
        yield f"redis://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def outcomes(python: Path, folder: Path, tests: Path, redis: str) -> dict[str, str]:
    """Run the tests; return how each has ended, by its name."""
    folder.mkdir()
    (folder / "suite_settings.py").write_text(SETTINGS)
    (folder / "suite_end.py").write_text(END)
    report = folder / "report.xml"
    own = {
        "SUITE": str(tests),
        "SUITE_REDIS": redis,
        "SUITE_DATABASE": str(folder / "suite.sqlite3"),
        "PYTHONPATH": str(folder),
    }
    options = [
        "-q",
        "--no-header",
        "-p",
        "no:cacheprovider",
        "-p",
        "suite_end",
        "--ds=suite_settings",
    ]
    options += [f"--timeout={LONGEST}", "--import-mode=importlib", "-k", "not mongo"]
    subprocess.run(
        [python, "-m", "pytest", *options, f"--junitxml={report}", str(tests / "tests")],
        env=os.environ | own, cwd=folder, check=False,
    )  # fmt: skip
    found: dict[str, str] = {}
    for case in ET.parse(report).iter("testcase"):
        name = case.get("name", "").partition("[")[0]
        ends = {child.tag for child in case}
        ended = "failed" if ends & {"failure", "error"} else "passed"
        if "skipped" in ends:
            ended = "skipped"
        if found.get(name) != "failed":
            found[name] = ended
    return found


def main() -> int:
    """Print the table; return 1 where a test fails for no known reason."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tests = fetched(folder)
        theirs = made(
            folder / "theirs", [f"django-q2[testing]=={VERSION}", *TOOLS, *PYTEST]
        )
        words = [word for path in OURS for word in ("-e", str(ROOT / path))]
        ours = made(folder / "ours", [*words, *SERVICES, *TOOLS, *PYTEST])
        with redis_server(folder) as redis:
            native = outcomes(theirs, folder / "native", tests, f"{redis}/0")
            dropped = outcomes(ours, folder / "dropped", tests, f"{redis}/1")
    print("| test of django-q2 | django-q2 | drop-in | why |")
    print("| --- | --- | --- | --- |")
    unknown = []
    for test in sorted({*native, *dropped}):
        ended = dropped.get(test, "missing")
        why = WHY.get(test, "") if ended != "passed" else ""
        if ended not in ("passed", "skipped") and not why:
            unknown.append(test)
        print(f"| `{test}` | {native.get(test, 'missing')} | {ended} | {why} |")
    for run, who in ((native, "django-q2"), (dropped, "drop-in")):
        counts = {end: list(run.values()).count(end) for end in sorted({*run.values()})}
        print(f"\n{who}: {counts}")
    print("\nof unknown reason:", ", ".join(unknown) or "none")
    return bool(unknown)


if __name__ == "__main__":
    sys.exit(main())
