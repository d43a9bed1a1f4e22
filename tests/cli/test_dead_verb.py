"""``qcore dead`` and ``qcore retry``."""

from __future__ import annotations

import io
import json

import pytest
from support.json_schemas import validate

from qcore.cli import dead, parser, retry
from qcore.cli.exits import FAILURE, OK
from qcore.envelope import new_id
from qcore.errors import ConfigError
from qcore.tasks import async_task, dead_groups, dead_tasks
from qcore.testing.drain import drain, enqueued
from qcore.testing.fixtures import qcore_queue  # noqa: F401 - a fixture

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("qcore_queue")]

FAIL = "chores.retrying.fail_with"


def qcore(*words, code=OK):
    out = io.StringIO()
    options = parser().parse_args(words)
    assert {"dead": dead, "retry": retry}[words[0]].run(options, out) == code
    return out.getvalue()


@pytest.fixture
def two_groups():
    """Three tasks that failed with one error, and one with another; by their ids."""
    for name in ("Refused", "Refused", "Refused", "OSError"):
        async_task(FAIL, name)
    drain(raises=False)
    (many,) = [group for group in dead_groups() if group.count == 3]
    return many


@pytest.fixture
def answer(monkeypatch):
    """Answer a question as somebody at a terminal."""

    def answer(text):
        stdin = io.StringIO(f"{text}\n")
        stdin.isatty = lambda: True
        monkeypatch.setattr("sys.stdin", stdin)

    return answer


def test_nothing_is_dead():
    assert qcore("dead") == "No task is dead: none has failed for good.\n"
    assert "There is no dead task of this error." in qcore(
        "dead", "list", "--fingerprint", "0"
    )
    assert "No task is dead" in qcore("dead", "resend", "--all")
    for action in ("list", "resend", "discard"):
        words = [] if action == "list" else ["--all"]
        document = json.loads(qcore("dead", action, *words, "--json"))
        validate(document)
        assert document["total"] == 0


def test_groups_are_listed(two_groups):
    text = qcore("dead")
    assert "COUNT" in text
    assert text.count(FAIL) == 2
    assert "4 dead tasks in 2 groups" in text
    assert "and 1 group more" in qcore("dead", "--limit", "1")
    one = qcore("dead", "list", "--fingerprint", two_groups.fingerprint)
    assert "3 dead tasks in 1 group" in one
    assert two_groups.example in one.split("ID")[-1]
    document = json.loads(qcore("dead", "--json"))
    validate(document)
    assert (document["total"], len(document["groups"])) == (4, 2)
    words = ("list", "--fingerprint", two_groups.fingerprint, "--json")
    document = json.loads(qcore("dead", *words))
    validate(document)
    assert len(document["tasks"]) == 3


def test_the_first_one_and_then_all(two_groups, answer, capsys):
    answer("one")
    words = ("dead", "resend", "--fingerprint", two_groups.fingerprint)
    text = qcore(*words)
    assert text.startswith(f"{two_groups.example}: sent again as {enqueued()[0].id}")
    assert "Send 3 dead tasks again? Type yes or one" in capsys.readouterr().err
    answer("no")
    assert qcore(*words, code=FAILURE) == ""
    assert len(enqueued()) == 1
    answer("yes")
    assert qcore(*words).count("sent again as") == 2
    assert len(enqueued()) == 3
    assert [group.count for group in dead_groups()] == [1]


def test_nobody_is_there_to_be_asked(two_groups):
    for action in ("resend", "discard"):
        with pytest.raises(ConfigError, match="the input is no terminal"):
            qcore("dead", action, "--all")
    assert enqueued() == []


def test_all_and_json(two_groups):
    document = json.loads(qcore("dead", "resend", "--all", "--yes", "--json"))
    validate(document)
    assert {one["new_id"] for one in document["tasks"]} == {t.id for t in enqueued()}
    assert dead_tasks() == []


def test_a_long_error_stays_in_its_line():
    async_task(FAIL, "x" * 300)
    drain(raises=False)
    assert len(dead_groups()[0].error) > 100
    _, row, total, *rest = qcore("dead").splitlines()
    assert "..." in row
    assert "\\n" not in row
    assert (total, rest) == ("1 dead task in 1 group", [])


def test_some_are_discarded(two_groups):
    ids = [two_groups.example]
    assert qcore("dead", "discard", *ids, "--yes") == "discarded 1 dead task\n"
    words = ("--func", FAIL, "--yes", "--json")
    document = json.loads(qcore("dead", "discard", *words))
    validate(document)
    assert document["total"] == 3
    assert dead_tasks() == enqueued() == []


def test_pages_are_all_taken(two_groups, monkeypatch):
    monkeypatch.setattr(dead, "_PAGE", 2)
    assert qcore("dead", "discard", "--all", "--yes") == "discarded 4 dead tasks\n"


def test_what_is_no_selection(two_groups):
    for words in ((), ("--all", "--func", FAIL), (two_groups.example, "--all")):
        with pytest.raises(ConfigError, match="takes IDs, or"):
            qcore("dead", "resend", *words)
    with pytest.raises(ConfigError, match="takes no ID"):
        qcore("dead", "list", two_groups.example)
    with pytest.raises(ConfigError, match="is not dead, or nothing is known"):
        qcore("dead", "discard", new_id(), "--yes")
    with pytest.raises(ConfigError, match="is no id of a task"):
        qcore("dead", "discard", "fail-1", "--yes")
    assert len(dead_tasks()) == 4


def test_any_finished_task_is_sent_again(two_groups):
    good = async_task("chores.kind.add", 1)
    drain()
    unknown = new_id()
    words = (good, two_groups.example, unknown)
    text = qcore("retry", *words, code=FAILURE)
    assert text.count("sent again as") == 2
    assert text.count("it had succeeded, so it is done once more") == 1
    assert f"{unknown}: not sent: no result is stored" in text
    document = json.loads(qcore("retry", good, unknown, "--json", code=FAILURE))
    validate(document)
    assert [one["error"] is None for one in document["tasks"]] == [True, False]
    assert [one["succeeded"] for one in document["tasks"]] == [True, False]
    with pytest.raises(ConfigError, match="is no id of a task"):
        qcore("retry", "fail-1")
