"""The schemas of the manual describe every document, and every field of it."""

from __future__ import annotations

import copy
import json
import re
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from django.core.management import call_command
from jsonschema import ValidationError
from support.json_schemas import FOLDER, file_of, load, validate

from qcore import Conf
from qcore.cli.plugins import describe
from qcore.status import Snapshot, WorkerStatus

ROOT = Path(__file__).resolve().parents[2]


def test_every_schema_of_a_verb_has_a_file_and_every_file_is_one():
    named = {
        file_of(schema)
        for folder in ("qcore", "plugins")
        for path in (ROOT / folder).rglob("*.py")
        if not {"testing", "tests"} & {*path.parts}  # certificates: no output of a verb
        for schema in re.findall(r'"(qcore\.[\w-]+/\d+)"', path.read_text())
    }
    assert named == set(FOLDER.glob("*.json"))
    for path in named:
        assert load(path)["$id"] == path.name


def test_a_duration_has_its_unit_in_its_name():
    """A moment has none: it is a text, or seconds since the epoch, as its schema says."""
    durations = {
        (path.name, name)
        for path in FOLDER.glob("*.json")
        for name, field in fields(load(path))
        if re.search(r"\bseconds\b(?! since the epoch)", field.get("description", ""))
    }
    assert not {(file, name) for file, name in durations if "seconds" not in name}


def fields(schema):
    """Yield every field that a schema describes, with its name."""
    if isinstance(schema, list):
        for one in schema:
            yield from fields(one)
    elif isinstance(schema, dict):
        yield from schema.get("properties", {}).items()
        for one in schema.values():
            yield from fields(one)


@pytest.mark.parametrize("name", ["monitor", "info", "doctor", "demo"])
def test_what_the_manual_shows_is_as_described(name):
    folder = FOLDER.parent / "captures"
    validate(json.loads((folder / f"{name}.json").read_text()))


def test_a_snapshot_is_described_field_by_field():
    schema = load(FOLDER / "status-1.json")
    assert set(schema["properties"]) == {*Snapshot.__struct_fields__, "rate"}
    worker = schema["$defs"]["worker"]
    assert set(worker["properties"]) == set(WorkerStatus.__struct_fields__)


def test_the_plugins_are_as_described():
    validate(describe())


@pytest.mark.django_db
@pytest.mark.parametrize(
    "words",
    [
        ["qinfo"],
        ["qinfo", "--ids"],
        ["qinfo", "--config"],
        ["qmonitor"],
        ["qmemory"],
        ["qdoctor"],
        ["qbench", "--only", "enqueue", "--only", "batch", "--tasks", "3"],
    ],
    ids=" ".join,
)
def test_what_commands_write_is_as_described(words):
    pytest.importorskip("qcore_orm")
    out = StringIO()
    call_command(*words, "--json", stdout=out)
    validate(json.loads(out.getvalue()))


SNAPSHOT = {
    **msgspec.to_builtins(
        Snapshot(
            cluster="0" * 32,
            name="shop",
            queue="shop",
            host="web-1",
            version="2.0.0",
            broker="Redis 7",
            state="running",
            sentinel_pid=1,
            dispatcher_pid=2,
            started=0,
            at=1,
            workers=[WorkerStatus(index=1, pid=3, state="idle")],
        )
    )
}


def test_a_snapshot_is_as_described():
    validate(SNAPSHOT)


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(colour="red"),
        lambda document: document.pop("queue"),
        lambda document: document.update(state="asleep"),
        lambda document: document.update(waiting="3"),
        lambda document: document["workers"][0].pop("pid"),
        lambda document: document["workers"][0].update(colour="red"),
    ],
)
def test_what_is_not_as_described_is_refused(change):
    """So that the tests above can fail."""
    document = copy.deepcopy(SNAPSHOT)
    change(document)
    with pytest.raises(ValidationError):
        validate(document)


def test_no_secret_is_in_what_is_shown_of_settings():
    canary = "hunter2-canary"
    options = {
        "redis": f"redis://shop:{canary}@localhost/0",
        "signing_keys": [canary],
        "error_reporter": {"sentry": {"dsn": f"https://{canary}@example.org/1"}},
    }
    conf = Conf.from_dict(options, claimed=["redis"], secret_key=canary)
    assert canary not in json.dumps(conf.masked(), default=str)
    assert canary not in repr(conf)
