"""``qcore task``: where a task is, how far it is, and how it has ended."""

from __future__ import annotations

import datetime as dt
import json
from argparse import ArgumentParser
from io import StringIO

import pytest
from chores import kind
from django.utils import timezone
from support.json_schemas import validate
from support.own_modules import give_own

from qcore.cli import task as verb
from qcore.errors import ConfigError
from qcore.runtime import current
from qcore.status import Progress
from qcore.tasks import async_task
from qcore.testing.drain import drain
from qcore.testing.fixtures import qcore_queue

__all__ = ["qcore_queue"]

pytestmark = pytest.mark.django_db

UNKNOWN = "0" * 32


def typed(*words):
    """Return the exit code of ``qcore task ...``, and what it writes."""
    parser = ArgumentParser()
    verb.add_arguments(parser)
    out = StringIO()
    return verb.run(parser.parse_args(words), out), out.getvalue()


def document(*words):
    code, text = typed(*words, "--json")
    found = json.loads(text)
    validate(found)
    return code, found


def test_a_success(qcore_queue):
    task_id = async_task(kind.add, 1, 2, task_name="sum", group="g")
    drain()
    code, text = typed(task_id)
    assert code == 0
    assert text.splitlines()[0] == f"{task_id}  succeeded"
    assert "  function  chores.kind.add" in text
    assert "  name      sum" in text
    code, found = document(task_id)
    assert (code, found["state"], found["attempts"]) == (0, "succeeded", 1)
    assert found["progress"] is None


def test_an_expired_one(qcore_queue):
    moment = timezone.now() - dt.timedelta(seconds=1)
    task_id = async_task(kind.add, 1, 2, expires=moment)
    drain()
    _, found = document(task_id)
    assert (found["state"], found["outcome"]) == ("expired", "expired")
    assert found["error"].startswith("TaskExpired: it had not started by")


def test_a_failure_shows_the_first_line_only(qcore_queue):
    task_id = async_task(kind.fail, "too bad", max_attempts=1)
    drain(raises=False)
    _, text = typed(task_id)
    assert "dead" in text
    assert "  error     ValueError: too bad\n" in text
    assert "Traceback" not in text


def test_figures_of_a_progress():
    """They travel as floating-point numbers, and are shown as people count."""
    told = {"done": 5.0, "total": 2000.0, "share": 0.0025, "note": ""}
    assert verb._bar(told) == f"[{'.' * 20}] 0%, 5 of 2,000"
    assert verb._bar(told | {"done": 0.25, "total": None, "share": None}) == "0.25"


@pytest.mark.django_db(transaction=True)
def test_a_tracked_task_that_waits_has_a_function_and_a_queue(qcore_queue):
    task_id = async_task(kind.add, 1, 2, track=True)
    code, found = document(task_id)
    assert (code, found["state"], found["attempts"]) == (0, "waiting", None)
    assert (found["func"], found["queue"]) == ("chores.kind.add", current.conf.queue)
    assert "  function  chores.kind.add" in typed(task_id)[1]


def test_nothing_known_is_told_and_never_0(qcore_queue):
    code, text = typed(UNKNOWN)
    assert code == 3
    assert "nothing is known" in text
    code, found = document(UNKNOWN)
    assert code == 3
    assert {found[key] for key in found} == {verb.SCHEMA, UNKNOWN, None}


def test_no_id_is_told():
    with pytest.raises(ConfigError, match="32 hexadecimal digits"):
        typed("mail-7")


def test_watching_shows_each_change_once_until_the_end(qcore_queue, monkeypatch):
    """Three looks at a task that runs, with two reports; then its end."""
    task_id = async_task(kind.add, 1, 2)
    told = [
        Progress(done=1, total=4),
        Progress(done=1, total=4),
        Progress(done=3, total=4, note="soon"),
    ]
    seen = []

    def look(asked):
        if not told:
            if not seen:
                drain()
                seen.append(True)
            return real(asked)
        found = real(asked) | {"state": "running"}
        return found | {"progress": verb._of_progress(told.pop(0))}

    real = verb.look
    monkeypatch.setattr(verb, "look", look)
    give_own(monkeypatch, verb, "time", sleep=lambda seconds: None)
    code, text = typed(task_id, "--watch")
    assert code == 0
    assert text.count("25%, 1 of 4") == 1
    assert "[###############.....] 75%, 3 of 4: soon" in text
    assert text.count("succeeded") == 1
