"""A file that leaves a thread running is told so, with the name of the thread."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from support import left_threads
from support.contract_runs import lean_pytest
from support.left_threads import of_asgiref, still_running


def test_only_new_threads_that_go_on_are_left(monkeypatch):
    monkeypatch.setattr(left_threads, "TO_END", 0.0)
    known, end = set(threading.enumerate()), threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    try:
        assert still_running(known) == {thread}
        assert still_running(known | {thread}) == set()
    finally:
        end.set()
        thread.join()
    assert still_running(known) == set()


def test_one_that_is_about_to_end_is_waited_for():
    known = set(threading.enumerate())
    threading.Timer(0.1, int).start()
    assert still_running(known) == set()


def test_the_thread_of_all_event_loops_is_not_of_a_test():
    from asgiref.sync import SyncToAsync

    SyncToAsync.single_thread_executor.submit(int).result()
    assert of_asgiref() <= set(threading.enumerate())
    assert len(of_asgiref()) == 1


FIXTURES = """
import threading
import pytest
from support import left_threads

left_threads.TO_END = 0.5

def running(name):
    end = threading.Event()
    threading.Thread(target=end.wait, name=name, daemon=True).start()
    return end

@pytest.fixture(scope="session")
def service():
    end = running("of the session")
    yield
    end.set()

@pytest.fixture(scope="module")
def closed():
    end = running("of the file")
    yield
    end.set()
"""
LEAVING = """
import pytest
from conftest import running

def test_one(service, closed):
    pass

def test_two():
    running("of a test")

def test_three():
    pass
"""


@pytest.mark.once
def test_the_last_test_of_a_file_fails(tmp_path: Path):
    (tmp_path / "conftest.py").write_text(FIXTURES)
    (tmp_path / "test_first.py").write_text(LEAVING)
    (tmp_path / "test_second.py").write_text("def test_it(service): pass\n")
    run = lean_pytest(tmp_path, str(tmp_path), "-p", "support.left_threads")
    assert run.returncode == pytest.ExitCode.TESTS_FAILED, run.stdout
    assert "4 passed, 1 error" in run.stdout
    assert "test_first.py::test_three" in run.stdout
    told = "test_first.py has left threads running: of a test (Event.wait)."
    assert told in run.stdout
