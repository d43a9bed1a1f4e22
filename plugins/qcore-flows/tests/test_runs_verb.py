"""The verb ``qcore runs``: durable tasks and their timelines, for people and programs."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from io import StringIO

import pytest
from chores import durable
from django.test import override_settings
from support.json_schemas import validate

from qcore.errors import CallError, ConfigError
from qcore.tasks import fetch
from qcore_flows import emit, runs
from qcore_flows.models import Run, RunStep, Spawned
from qcore_flows.steps.status import STATES

pytestmark = pytest.mark.django_db


def verb(*words):
    """Run the verb; return its exit code and what it has written."""
    parser, out = ArgumentParser(), StringIO()
    runs.add_arguments(parser)
    code = runs.run(parser.parse_args([*words]), out)
    return code, out.getvalue()


def document(*words):
    _, text = verb(*words, "--json")
    found = json.loads(text)
    validate(found)
    return found


def test_an_empty_list_is_told(clock):
    assert verb() == (0, "No durable task has begun, or all were pruned.\n")
    assert document() == {
        "schema": "qcore.runs/1",
        "runs": [],
        "timeline": None,
        "resumed": None,
    }


def test_an_unknown_id_is_told(clock):
    code, text = verb("0" * 32)
    assert code == 3
    assert text.endswith("there is no run of such a task, or it was pruned.\n")
    assert document("0" * 32)["runs"] == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["onboard"], "'onboard' is no id of a task"),
        (["--limit", "0"], "--limit is 0"),
        (["--state", "suspend"], "did you mean 'suspended'"),
        (["0" * 32, "--state", "running"], "--state chooses among runs"),
        (["--resume"], "--resume needs the ID"),
        (["0" * 32, "--from", "x"], "--from needs --resume"),
    ],
)
def test_wrong_words_are_told(clock, words, told):
    with pytest.raises(ConfigError, match=told):
        verb(*words)


def test_the_newest_is_listed_first(clock):
    first = durable.onboard.enqueue("ada")
    clock.advance(seconds=1)
    second = durable.strict.enqueue("bob")
    clock.advance(seconds=0)
    emit("reply:bob", "yes")
    clock.advance(seconds=0)
    _, text = verb()
    heading, *lines = text.splitlines()
    assert heading.split() == [
        "ID",
        "STATE",
        "STEPS",
        "STARTS",
        "CREATED",
        "WAITS",
        "FOR",
        "FUNCTION",
    ]
    assert [line.split()[:4] for line in lines] == [
        [second, "success", "1", "2"],
        [first, "suspended", "2", "1"],
    ]
    assert "two weeks" in lines[1] and "chores.durable.onboard" in lines[1]
    (one,) = document("--state", "suspended", "--state", "running")["runs"]
    assert (one["task_id"], one["waits_for"], one["ended"]) == (
        first,
        "two weeks",
        None,
    )
    assert one["due"] is not None
    assert len(document("--limit", "1")["runs"]) == 1


def test_a_run_is_shown_with_its_timeline(clock):
    id = durable.onboard.enqueue("ada")
    clock.advance(days=14)
    code, text = verb(id)
    assert code == 0
    assert "state      suspended" in text
    assert "waits for  reply, until " in text
    steps = document(id)["timeline"]
    assert [(one["name"], one["kind"], one["state"]) for one in steps] == [
        ("create", "step", "done"),
        ("two weeks", "sleep", "done"),
        ("remind", "step", "done"),
        ("reply", "wait", "waits"),
    ]
    assert steps[1]["seconds"] == pytest.approx(14 * 86_400, abs=5)
    assert (steps[3]["done"], steps[3]["seconds"]) == (None, None)
    assert steps[3]["due"] is not None
    assert "336.0 h" in text
    _, text = verb(id, "--limit", "1")
    assert "3 more: --limit 4" in text


def test_spawned_tasks_are_shown_with_their_ends(clock):
    id = durable.fan_out.enqueue([1, -1], on_failure="go on")
    clock.advance(seconds=0, raises=False)
    tasks = dict(Spawned.objects.values_list("task_id", "outcome"))
    steps = document(id)["timeline"]
    shown = {one["task_id"]: one["state"] for one in steps if one["kind"] == "spawn"}
    assert shown == tasks
    assert [one["name"] for one in steps][2:] == ["children", "close"]


def test_what_comes_too_late_is_shown(clock):
    id = durable.strict.enqueue("cy")
    clock.advance(seconds=61)
    (step,) = document(id)["timeline"]
    assert step["state"] == "too late"


def test_a_failed_run_is_resumed(clock):
    id = durable.impatient.using(max_attempts=1).enqueue("dan")
    clock.advance(seconds=61, raises=False)
    new = document(id, "--resume")["resumed"]
    emit("reply:dan", "yes")
    clock.advance(seconds=1)
    assert fetch(new).result == "yes"
    with pytest.raises(CallError, match="has succeeded"):
        verb(new, "--resume")


def test_a_run_is_resumed_from_a_step(clock):
    id = durable.spawn_and_fail.enqueue(1)
    clock.advance(seconds=0, raises=False)
    with pytest.raises(CallError, match=r"has no step 'en'.*did you mean 'end'"):
        verb(id, "--resume", "--from", "en")
    code, text = verb(id, "--resume", "--from", "one")
    assert (code, text.startswith(f"{id} is sent again as ")) == (0, True)


def test_damaged_rows_and_odd_names_hide_nothing(clock):
    id = "a" * 32
    Run.objects.create(task_id=id, func="a\x1b]0;x\x07", state="failure", created=1e9)
    for n, kind in enumerate(("spawn", "step")):
        RunStep.objects.create(
            run_id=id, digest=str(n), name="b\x1b[2J", kind=kind, began=n, done=1e9,
            content="json", value=b"{",
        )  # fmt: skip
    for words in ((), (id,), (id, "--json")):
        _, text = verb(*words)
        assert not {"\x1b", "\x07", "\r"} & set(text)
    assert [one["task_id"] for one in document(id)["timeline"]] == [None, None]


def test_the_schema_has_every_state():
    from support.json_schemas import file_of, load

    schema = load(file_of("qcore.runs/1"))["properties"]
    assert set(schema["runs"]["items"]["properties"]["state"]["enum"]) == set(STATES)


def test_without_the_app():
    with (
        override_settings(INSTALLED_APPS=["qcore"]),
        pytest.raises(ConfigError, match="`qcore runs` needs the app of qcore-flows"),
    ):
        verb()
