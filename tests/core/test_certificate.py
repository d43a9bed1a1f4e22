"""The pytest plugin that writes what a plugin was found to keep."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.cli_project import clean_environment

from qcore import __version__
from qcore.brokers.base import CAPABILITIES

pytestmark = pytest.mark.once

SUITES = '''
import pytest

from qcore import Conf
from qcore.brokers.memory import MemoryBroker
from qcore.testing import BrokerContract


class ForgetfulBroker(MemoryBroker):
    """Cannot count."""

    supports_delay = False
    max_batch = 7

    def queue_size(self):
        return 1


class TestForgetful(BrokerContract):
    lease = 0.2
    crosses_processes = False
    service = "a forgetful memory"

    @pytest.fixture
    def make_broker(self):
        return lambda queue=None, **settings: ForgetfulBroker(
            Conf.from_dict(settings), queue
        )

    def test_order_is_kept(self):
        """Asks nothing."""

    def test_of_its_author(self):
        """Is no promise of the contract."""

    @pytest.mark.xfail(strict=False)
    def test_ping(self, broker):
        raise AssertionError
'''
SOME = "info or counts or delay_holds or order_is_kept or unknown or ping or author"


#: Other plugins of pytest take longer to start than these tests to run.
LEAN = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def certify(folder: Path, *words: str) -> tuple[subprocess.CompletedProcess[str], Any]:
    """Run the tests of a folder; return the run and the certificate, if there is one."""
    plugin = ["-p", "qcore.testing.certificate", "--certificate=certificate.json"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugin, *words],
        cwd=folder,
        env=clean_environment(**LEAN),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    path = folder / "certificate.json"
    return done, json.loads(path.read_text()) if path.exists() else None


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("certified")
    (folder / "test_suites.py").write_text(SUITES)
    done, certificate = certify(folder, "-k", SOME)
    assert done.returncode == 1, done.stdout  # a test failed, and that is written down
    assert certificate is not None, done.stdout + done.stderr
    return certificate


def test_it_says_whose_it_is(certified):
    assert certified["schema"] == "qcore.certificate/1"
    assert (certified["plugin"], certified["distribution"]) == ("builtin", "qcore")
    assert certified["version"] == certified["qcore"] == __version__
    assert len(certified["date"].split("-")) == 3


def test_the_broker_is_described(certified):
    (suite,) = certified["suites"]
    assert (suite["suite"], suite["contract"]) == ("TestForgetful", "BrokerContract")
    broker = suite["broker"]
    # the class that people can install, and what the tests made of it
    assert broker["class"] == "qcore.brokers.memory:MemoryBroker"
    assert broker["subclass"] == "ForgetfulBroker: Cannot count."
    assert suite["service"] == "a forgetful memory"
    assert broker["max_batch"] == 7
    assert list(broker["capabilities"]) == list(CAPABILITIES)
    assert broker["capabilities"]["delay"] is False
    assert broker["capabilities"]["order"] is True


def test_what_failed_is_not_among_what_passed(certified):
    (suite,) = certified["suites"]
    assert "test_counts" in suite["failed"]
    assert "test_ping" in suite["failed"]  # that it was expected changes nothing
    assert not {"test_counts", "test_ping"} & {*suite["passed"], *suite["skipped"]}


def test_what_was_skipped_has_its_reason(certified):
    (suite,) = certified["suites"]
    assert suite["skipped"]["test_delay_holds"] == "ForgetfulBroker has no delay"
    assert "misspelt" in suite["skipped"]["test_unknown_option_is_refused"]


def test_what_the_author_has_put_in_place_of_a_promise_is_told(certified):
    (suite,) = certified["suites"]
    assert suite["replaced"] == ["test_order_is_kept", "test_ping"]


def test_tests_of_the_author_are_no_promises(certified):
    assert "test_of_its_author" not in json.dumps(certified)


@pytest.mark.parametrize(
    ("text", "words", "reason"),
    [
        ("def test_one(): pass", [], "no class inherits a contract"),
        (SUITES, ["-k", "order_is_kept"], "TestForgetful: test_info did not pass"),
        (SUITES, ["-k", "delay_holds"], "TestForgetful: none of its tests passed"),
    ],
)
def test_without_a_whole_suite_there_is_no_certificate(tmp_path, text, words, reason):
    (tmp_path / "test_suites.py").write_text(text)
    done, certificate = certify(tmp_path, *words)
    assert done.returncode == 1
    assert f"not written: {reason}" in done.stdout
    assert certificate is None


OWN = SUITES.replace("(MemoryBroker)", "(Broker)").replace(
    "from qcore import Conf", "from qcore import Broker, Conf"
)


def test_a_class_of_no_plugin_is_certified_without_one(tmp_path):
    body = """
    def purge_queue(self):
        pass

    def ping(self):
        return True

    def info(self):
        return "nothing 1.0"
"""
    (tmp_path / "test_suites.py").write_text(
        OWN.replace("    def queue_size", body + "\n    def queue_size")
    )
    _, certificate = certify(tmp_path, "-k", "info")
    assert certificate["plugin"] is certificate["version"] is None
    (suite,) = certificate["suites"]
    assert suite["broker"]["class"] == "test_suites:ForgetfulBroker"
    assert suite["broker"]["subclass"] is None
    assert suite["service"] == "a forgetful memory"


def test_several_processes_are_refused(tmp_path):
    pytest.importorskip("xdist")
    (tmp_path / "test_suites.py").write_text(SUITES)
    done, certificate = certify(tmp_path, "-p", "xdist", "-n", "2")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "in one process: -n 0" in done.stderr
    assert certificate is None


def test_without_the_option_it_writes_nothing(tmp_path):
    (tmp_path / "test_one.py").write_text("def test_one(): pass")
    words = [sys.executable, "-m", "pytest", "-q", "-p", "qcore.testing.certificate"]
    done = subprocess.run(
        words,
        cwd=tmp_path,
        env=clean_environment(**LEAN),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    assert not (tmp_path / "certificate.json").exists()
