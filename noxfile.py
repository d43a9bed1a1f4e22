#!/usr/bin/env python3
"""The two commands, and every other job of this repository.

::

    python3 noxfile.py                 run the tests (all default sessions)
    python3 noxfile.py -s demo         see a cluster at work
    python3 noxfile.py -l              list the sessions
    python3 noxfile.py -s tests -- -k redis     words after -- go to the tool

Nothing but Python 3.11 with venv is needed: without nox, this file first makes an
environment with nox in ``.nox/``. To ``nox`` and ``uvx nox`` it is an ordinary file.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

if sys.version_info < (3, 11):  # noqa: UP036 - any python3 may start this file
    raise SystemExit(f"qcore needs Python 3.11 or later; this is {sys.version}")

import tomllib

HERE = Path(__file__).resolve().parent

try:
    import nox
except ImportError:
    import venv

    own = HERE / ".nox" / "nox"
    if not (own / "bin" / "nox").exists():
        print(f"Installing nox into {own.relative_to(HERE)} (once)", flush=True)
        venv.create(own, clear=True, with_pip=True)
        pip = [str(own / "bin" / "python"), "-m", "pip", "install", "-qq"]
        subprocess.check_call(
            [*pip, "--disable-pip-version-check", "nox[uv]>=2025.5.1"]
        )
    run = [str(own / "bin" / "python"), "-m", "nox", "-f", str(HERE / "noxfile.py")]
    raise SystemExit(subprocess.call([*run, *sys.argv[1:]])) from None

# The parts of this file that are no session have a place of their own.
sys.path.insert(0, str(HERE / ".ci"))
import server_packages  # noqa: E402
from load import busy_loops, soak_beside  # noqa: E402
from pythons import fast_backend, newer_python  # noqa: E402

PLUGINS = sorted(path.parent.name for path in HERE.glob("plugins/*/pyproject.toml"))
PYPROJECT = tomllib.loads((HERE / "pyproject.toml").read_text())

# What the two sessions `tests` run: without the jobs of other sessions, in four
# processes, each with servers of its own; a file stays in one process. Many tests wait for
# leases and for processes to die; what runs beside takes the processors meanwhile.
QUICK = ["-m", "not slow and not soak", "-n", "4", "--dist", "loadfile"]

# What `quick` runs; tests/support/marks.py holds it to that.
LEFT_OUT = ("live", "service", "kit", "once", "slow", "soak")
WITHOUT_PROGRAMS = " and ".join(f"not {name}" for name in LEFT_OUT)

# What runs beside the tests, for most of it waits for the package index.
BESIDE = ["types", "docs", "install", "alone"]
BESIDE_LOG = HERE / ".nox" / "beside.log"
beside_run: list[subprocess.Popen[bytes]] = []  # none or one

# What needs wheels of ours and environments of their own.
INSTALL_TESTS = [
    "tests/test_install.py",
    "tests/test_installed_features.py",
    "tests/test_plugin_path.py",
    "tests/test_release.py",
    "tests/test_stranger.py",
    "tests/test_tutorial.py",
    "tests/test_typed.py",
]

DATABASE_TESTS = ["tests/django", "tests/ledger", "plugins/qcore-orm/tests"]
# What another Django or Python could break; services and their plugins are not in it.
DJANGO_TESTS = [
    *("tests/core", "tests/django", "tests/engine", "tests/cli"),
    *("plugins/qcore-orm/tests", "plugins/qcore-example/tests"),
    "--deselect=tests/core/test_broker_contract.py",
    "--deselect=tests/core/test_kit_contracts.py",
]


nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = fast_backend()
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = False
nox.options.sessions = [
    "servers",
    "lint",
    "beside",
    "tests",
    "tests_django6",
    "joined",
]


NEWER_PYTHON = newer_python()


def group(name: str) -> list[str]:
    """Return the requirements of a dependency group of pyproject.toml."""
    return nox.project.dependency_groups(PYPROJECT, name)


def checkout(*plugins: str) -> list[str]:
    """Return the words that make pip install the core and ``plugins`` from here.

    Always paths: the public index has a foreign package of the name qcore.
    """
    words = ["-e", "."]
    for plugin in plugins:
        words += ["-e", f"plugins/{plugin}"]
    return words


def about(plugin: str) -> dict[str, Any]:
    """Return what the pyproject.toml of a plugin says."""
    return tomllib.loads((HERE / "plugins" / plugin / "pyproject.toml").read_text())


def package_of(plugin: str) -> str:
    """Return the package that a plugin installs: ``qcore_redis``."""
    (package,) = about(plugin)["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    return str(package)


def needed_by(plugin: str) -> list[str]:
    """Return the plugins of this repository that a plugin cannot do without."""
    names = [need.split(">")[0] for need in about(plugin)["project"]["dependencies"]]
    return [name for name in names if name in PLUGINS]


def run_tests(session: nox.Session, *words: str) -> None:
    """Run pytest; a run in which nothing was executed fails.

    What fails has failed: no test depends on how fast this machine is, so none is run
    again. ``qcore.testing.speed`` has what tests wait with.
    """
    session.run("pytest", "-q", "--no-header", "--must-run", *words)


@nox.session(python=False)
def servers(session: nox.Session) -> None:
    """Install the servers that are missing (root on Debian only), and start none."""
    server_packages.install(session)


@nox.session(python=False)
def beside(session: nox.Session) -> None:
    """Start types, docs, install and alone, and go on; `joined` waits for them."""
    nox_again = [sys.executable, "-m", "nox", "-f", str(HERE / "noxfile.py")]
    with BESIDE_LOG.open("wb") as log:
        run = subprocess.Popen(
            [*nox_again, "-s", *BESIDE],
            stdout=log,
            stderr=subprocess.STDOUT,
            # the tests, some of which have to be done in time, go before
            preexec_fn=lambda: os.nice(5),  # noqa: PLW1509 - one thread
        )
    beside_run.append(run)
    session.log(f"{', '.join(BESIDE)} run beside; see {BESIDE_LOG.relative_to(HERE)}")


@nox.session(python=False)
def joined(session: nox.Session) -> None:
    """Wait for what `beside` has started, show what it said, and fail if it has."""
    if not beside_run:
        session.skip("nothing was started: -s beside ... joined")
    code = beside_run.pop().wait()
    print(BESIDE_LOG.read_text(errors="replace"), flush=True)
    if code:
        session.error(f"one of {', '.join(BESIDE)} has failed, see above")


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests in one environment: the core, every plugin, real servers."""
    session.install(*checkout(*PLUGINS), *group("test"))
    with soak_beside(session):
        run_tests(session, *QUICK, *session.posargs)


@nox.session
def quick(session: nox.Session) -> None:
    """Run what starts no program, no server and no cluster: under two minutes."""
    session.install(*checkout(*PLUGINS), *group("test"))
    run_tests(session, "-m", WITHOUT_PROGRAMS, "-n", "2", *session.posargs)


@nox.session
def busy(session: nox.Session) -> None:
    """Run all tests three times, or ``-- these``, with four busy loops beside them.

    Then a stranger's plugin keeps the contracts of the kit under the same load. No test
    may depend on how fast the machine is.
    """
    packages = [
        "pip",
        "hatchling",
        *group("test"),
    ]  # pip builds and installs the plugin
    session.install(*checkout(*PLUGINS), *packages)
    with busy_loops(4):
        for _ in range(1 if session.posargs else 3):
            run_tests(session, *QUICK, *session.posargs)
    if not session.posargs:
        run_tests(session, "tests/test_stranger_busy.py")  # it has loops of its own


@nox.session(python=NEWER_PYTHON or False)
def tests_django6(session: nox.Session) -> None:
    """Run with Django 6, on a newer Python, what Django and Python matter to."""
    if NEWER_PYTHON is None:
        session.skip("no Python 3.12 or later with venv on this machine")
    session.install(*checkout(*PLUGINS), *group("test"), "Django>=6")
    quick = ["-m", "not slow and not soak and not once", *QUICK[2:]]
    run_tests(session, *quick, *session.posargs, *DJANGO_TESTS)


@nox.session
def databases(session: nox.Session) -> None:
    """Run every test that uses a database on PostgreSQL and on MariaDB.

    Not a default: ``tests`` runs store, scheduler and outbox on all three, and the rest of
    these on SQLite.
    """
    session.install(*checkout(*PLUGINS), *group("test"))
    absent = server_packages.absent()
    for name, package in (("postgres", "postgresql"), ("mariadb", "mariadb-server")):
        if package in absent and os.environ.get("CI") != "true":
            session.warn(f"{package} is not installed; nothing runs on it")
            continue
        session.env["QCORE_TEST_DB"] = name
        run_tests(session, *QUICK, *session.posargs, *DATABASE_TESTS)


@nox.session
@nox.parametrize("plugin", PLUGINS, ids=PLUGINS)
def alone(session: nox.Session, plugin: str) -> None:
    """Hold one plugin to the contract of plugins, with only the core beside it.

    The rest of its tests runs once, in ``tests``, and needs no second hour.
    """
    session.install(*checkout(plugin, *needed_by(plugin)), *group("test"))
    tests = sorted((HERE / "plugins" / plugin / "tests").glob("test_*.py"))
    chosen = [str(path) for path in tests if "class TestPlugin" in path.read_text()]
    if not chosen:
        session.error(f"{plugin} has no class TestPlugin(PluginContract) in its tests")
    run_tests(session, "-k", "TestPlugin", *session.posargs, *chosen)


@nox.session
def certify(session: nox.Session) -> None:
    """Write the certificates of the plugins anew; ``-- redis orm`` of these only."""
    session.install(*checkout(*PLUGINS), *group("test"))
    wanted = [f"qcore-{name.removeprefix('qcore-')}" for name in session.posargs]
    for name in wanted or ["qcore-memory", *PLUGINS]:
        place, tests = f"plugins/{name}", f"plugins/{name}/tests/test_contract.py"
        if name == "qcore-memory":  # it is a part of the core
            place, tests = "tests/core", "tests/core/test_memory_broker.py"
        certificate = f"--certificate={place}/certificate.json"
        run_tests(session, "-p", "qcore.testing.certificate", certificate, tests)
    session.run("python", "docs/generate.py")


@nox.session
def faults(session: nox.Session) -> None:
    """Run the tests of faults, and record in the manual which rows of its table hold."""
    session.install(*checkout(*PLUGINS), *group("test"))
    record = "--faults-report=tests/faults/record.json"
    marks = ["-m", "fault and not soak", *QUICK[2:]]
    try:
        run_tests(session, *marks, record, *session.posargs, "tests", "plugins")
    finally:  # a red row belongs there, too
        session.run("python", "docs/generate.py")


@nox.session
def install(session: nox.Session) -> None:
    """Build wheels, install them the documented ways, and use them."""
    # psutil is for the servers that tests start
    wanted = ("pytest>", "pytest-xdist>", "psutil>")
    words = [words for words in group("test") if words.startswith(wanted)]
    # uv's environments have no pip of their own; hatchling builds our wheels
    session.install("pip", "hatchling", *words, *group("release"))
    # Without our pytest settings, which want Django and qcore in this environment:
    # it has neither, so that what is installed is what is seen.
    bare = ["-q", "--no-header", "-c", os.devnull, f"--rootdir={HERE}"]
    bare += ["-p", "no:cacheprovider", "-W", "ignore::pytest.PytestUnknownMarkWarning"]
    spread = ["-n", "2", "--dist", "loadfile"]
    session.run("pytest", *bare, *spread, *INSTALL_TESTS, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check the style of the code; ``-- --fix`` mends what can be mended."""
    session.install(*(words for words in group("lint") if words.startswith("ruff")))
    session.run("ruff", "check", "--output-format=concise", "-q", *session.posargs)
    check = [] if "--fix" in session.posargs else ["--check"]
    session.run("ruff", "format", "--quiet", *check)


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the core and of every plugin, strictly."""
    session.install(*checkout(*PLUGINS), *group("lint"), *group("test"))
    packages = [f"plugins/{name}/{package_of(name)}" for name in PLUGINS]
    session.run("mypy", "qcore", *packages, "tests/typing", *session.posargs)


@nox.session
def browser(session: nox.Session) -> None:
    """Use the dashboard in a real Chromium, which asks a server; by hand.

    Screenshots of every page go to the folder that QCORE_PICTURES names.
    """
    session.install(*checkout(*PLUGINS), *group("test"))
    folder = "plugins/qcore-dashboard/tests"
    files = [f"{folder}/browser.py", f"{folder}/test_chromium.py"]
    run_tests(session, *files, *session.posargs)


@nox.session
def pyright(session: nox.Session) -> None:
    """Check with pyright what a project sees of task functions; by hand, for it is large."""
    session.install("pyright[nodejs]", *checkout(), *group("test"))
    session.run("pyright", "tests/typing/decorated.py", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning is an error."""
    # the contracts are read from the kit, which imports pytest
    session.install(*checkout(*PLUGINS), *group("docs"), *group("test"))
    out = ["docs", "docs/_build/html"]
    session.run("python", "docs/generate.py", "--check")
    session.run("sphinx-build", "-W", "--keep-going", "-q", *out, *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """Run a cluster with tasks, a crash and a schedule on an SQLite file."""
    session.install(*checkout("qcore-orm"))
    session.run("qcore", "demo", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure throughput and latency; see ``-- --help``."""
    session.install(*checkout(*PLUGINS), *group("test"))
    session.run("python", "tests/bench/bench.py", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Run everything at once under faults, for minutes."""
    session.install(*checkout(*PLUGINS), *group("test"))
    words = ["-m", "soak", "-s", "--timeout=0", "-p", "no:support.quick_starts"]
    run_tests(session, *words, *session.posargs, "tests")


@nox.session
def build(session: nox.Session) -> None:
    """Build sdist and wheel of all distributions into ``dist/``."""
    session.install("build")
    shutil.rmtree(HERE / "dist", ignore_errors=True)
    for folder in (".", *(f"plugins/{plugin}" for plugin in PLUGINS)):
        session.run("python", "-m", "build", "-o", "dist", folder, silent=True)
    for path in sorted((HERE / "dist").iterdir()):
        session.log(path.name)


@nox.session(python=False)
def bump(session: nox.Session) -> None:
    """Give all distributions one new version: ``-s bump -- 2.1.0``."""
    words = [str(HERE / ".ci" / "versions.py"), *session.posargs]
    session.run(sys.executable, *words, external=True)


@nox.session
def release(session: nox.Session) -> None:
    """Check, build and tag a release: ``-s release -- 2.1.0 [--dry-run]``."""
    session.install(*group("release"))
    session.run("python", ".ci/release.py", *session.posargs)


if __name__ == "__main__":
    sys.argv[1:1] = ["--noxfile", str(HERE / "noxfile.py")]
    nox.main()
