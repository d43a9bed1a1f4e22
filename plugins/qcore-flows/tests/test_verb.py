"""The verb ``qcore flows``: what it shows and does, for people and for programs."""

from __future__ import annotations

import datetime as dt
import json
from argparse import ArgumentParser
from io import StringIO

import pytest
from django.test import override_settings
from support.json_schemas import validate

from qcore.errors import CallError, ConfigError
from qcore_flows import Batch, Flow, verb


def flows(*words):
    """Run the verb; return its exit code and what it has written."""
    parser, out = ArgumentParser(), StringIO()
    verb.add_arguments(parser)
    code = verb.run(parser.parse_args([*words]), out)
    return code, out.getvalue()


def document(*words):
    _, text = flows(*words, "--json")
    found = json.loads(text)
    validate(found)
    return found


def test_an_empty_list_is_told(queue):
    assert flows() == (0, "No batch and no graph was sent, or all were pruned.\n")
    assert document() == {
        "schema": "qcore.flows/1", "flows": [], "members": None,
        "cancelled": None, "retried": None,
    }  # fmt: skip


def test_an_unknown_id_is_told(queue):
    code, text = flows("0" * 32)
    assert code == 3
    assert text.endswith("there is no such batch or graph, or it was pruned.\n")
    assert document("0" * 32)["flows"] == []
    with pytest.raises(ConfigError, match="'order' is no id"):
        flows("order")


def test_the_newest_is_listed_first(queue):
    with Batch("first"):
        pass
    with Flow("second") as flow:
        flow.add("chores.kind.echo", 1)
    _, text = flows()
    heading, *lines = text.splitlines()
    assert heading.split() == [
        "ID", "KIND", "STATE", "ENDED", "FAILED", "SKIPPED", "CREATED", "NAME",
    ]  # fmt: skip
    assert [line.split()[-1] for line in lines] == ["second", "first"]
    assert lines[0].split()[:6] == [flow.id, "graph", "running", "0", "of", "1"]
    (shown,) = document("--limit", "1")["flows"]
    assert (shown["id"], shown["share"]) == (flow.id, 0.0)
    with pytest.raises(ConfigError, match="--limit is 0"):
        flows("--limit", "0")


def test_a_batch_is_shown_with_its_members(queue):
    with Flow("order 17") as flow:
        a = flow.add("chores.kind.echo", 1)
        flow.add("chores.kind.echo", a)
        flow.add("chores.kind.echo", 2)
    queue.end(a.id, outcome="failure")
    code, text = flows(flow.id)
    assert code == 0
    assert "state      running, 67% done" in text
    assert "TASK " in text
    assert f"{a.id}  failure" in text
    assert [one["state"] for one in document(flow.id)["members"]] == [
        "failure",
        "skipped",
    ]
    (one,) = document(flow.id)["flows"]
    created = dt.datetime.fromisoformat(one["created"])
    assert created.tzinfo == dt.UTC
    assert created.timestamp() == pytest.approx(flow.status().created, abs=1e-5)
    every = document(flow.id, "--members")["members"]
    assert [one["sent"] is None for one in every] == [False, True, False]
    assert [one["state"] for one in every] == ["failure", "skipped", "sent"]


def test_retry_and_cancel(queue):
    with Batch() as batch:
        ids = batch.add_many("chores.kind.add", [1, 2])
    queue.end(ids[0], outcome="failure")
    assert document(batch.id, "--retry")["retried"] == 1
    _, text = flows(batch.id, "--cancel")
    assert "2 members are to be cancelled." in text
    assert batch.status().state == "cancelled"
    for word in ("--retry", "--cancel", "--members"):
        with pytest.raises(ConfigError, match=f"{word} needs the ID"):
            flows(word)


def test_some_nodes_are_cancelled_and_sent_again(queue):
    with Flow() as flow:
        a = flow.add("chores.kind.echo", 1, on_failure="go on")
        b = flow.add("chores.kind.echo", a)
        flow.add("chores.kind.echo", b)
        d = flow.add("chores.kind.echo", 2)
    queue.end(a.id, d.id, outcome="failure")
    assert document(flow.id, "--retry", "--node", a.id)["retried"] == 1
    states = [one["state"] for one in document(flow.id, "--members")["members"]]
    assert states == ["sent", "sent", "waiting", "failure"]
    code, text = flows(flow.id, "--cancel", "--node", b.id, "--below")
    assert code == 0
    assert "2 members are to be cancelled." in text
    assert document(flow.id, "--members")["members"][2]["state"] == "cancelled"
    queue.end(b.id, outcome="cancelled")
    # by what its page and the list show: the id of the task that the node is now
    again = next(flow.members()).task_id
    assert again != a.id
    queue.end(again)
    found = document(flow.id, "--retry", "--node", again, "--node", d.id)
    assert (found["retried"], found["cancelled"]) == (2, None)
    tasks = [one.task_id for one in flow.members()]
    _, text = flows(flow.id, "--cancel", "--node", tasks[3])
    assert "1 member is to be cancelled." in text


def test_what_says_of_nodes_makes_no_sense_is_told(queue):
    with Flow() as flow:
        a = flow.add("chores.kind.echo", 1)
    with Batch() as batch:
        (member,) = batch.add_many("chores.kind.echo", [1])
    with pytest.raises(ConfigError, match="--node needs the ID of a batch or graph"):
        flows("--node", a.id)
    with pytest.raises(ConfigError, match="--node needs --cancel or --retry"):
        flows(flow.id, "--node", a.id)
    with pytest.raises(ConfigError, match="--below needs --node"):
        flows(flow.id, "--cancel", "--below")
    with pytest.raises(CallError, match=r"'price' .* is no member of the graph"):
        flows(flow.id, "--cancel", "--node", "price", "--node", a.id)
    with pytest.raises(CallError, match="has not ended: cancel it first"):
        flows(flow.id, "--retry", "--node", a.id)
    for word in ("cancel", "retry"):
        with pytest.raises(CallError, match=rf"is a batch .* tasks: qcore {word} TASK"):
            flows(batch.id, f"--{word}", "--node", member)
    assert [one.state for one in flow.members()] == ["sent"]
    assert [one.state for one in batch.members()] == ["sent"]


def test_what_a_stranger_has_named_acts_on_no_terminal(queue):
    with Flow("a\x1b]0;owned\x07\r") as flow:
        flow.add("chores.kind.echo", 1, task_name="b\x1b[2J")
    for words in ((), (flow.id,), (flow.id, "--members"), (flow.id, "--json")):
        _, text = flows(*words)
        assert not {"\x1b", "\x07", "\r"} & set(text)


def test_without_the_app():
    with (
        override_settings(INSTALLED_APPS=["qcore"]),
        pytest.raises(ConfigError, match="needs the app of qcore-flows"),
    ):
        flows()


def test_missing_tables_are_told(queue, monkeypatch):
    from qcore_flows.models import FlowRow

    monkeypatch.setattr(FlowRow._meta, "db_table", "no_such_table")
    with pytest.raises(ConfigError, match=r"manage\.py migrate --database"):
        flows()
