"""``qcore pause`` and ``qcore resume``."""

from __future__ import annotations

import getpass
import io
import json

import pytest
from support.json_schemas import validate
from support.own_modules import give_own

from qcore.cli import VERBS, parser
from qcore.cli import pause as pause_verb
from qcore.cli.exits import OK
from qcore.errors import CallError
from qcore.tasks import pause, paused

pytestmark = pytest.mark.django_db


def qcore(verb, *words):
    out = io.StringIO()
    code = VERBS[verb].run(parser().parse_args([verb, *words]), out)
    assert code == OK
    return out.getvalue()


def test_who_has_paused_what_and_why():
    text = qcore("pause", "mail", "--reason", "the provider is down")
    assert text == (
        "mail: paused; tasks that run go on, and none begins. `qcore resume mail` ends it\n"
    )
    (one,) = paused()
    assert (one.queue, one.by, one.reason) == (
        "mail",
        getpass.getuser(),
        "the provider is down",
    )


def test_a_queue_that_is_paused_already():
    pause("mail", by="ann", reason="no money")
    text = qcore("pause", "mail", "--reason", "another one")
    assert text.startswith("mail: was paused by ann ")
    assert "ago (no money), already. `qcore resume mail`" in text


def test_several_queues_at_once():
    pause("mail", by="ann")
    assert qcore("pause", "mail", "parcels").count("\n") == 2
    text = qcore("resume", "parcels", "mail", "letters")
    first, second, third = text.splitlines()
    assert first.startswith("parcels: resumed; it was paused by ")
    assert second.startswith("mail: resumed; it was paused by ann ")
    assert third == "letters: was not paused"
    assert paused() == []


def test_json():
    pause("mail", by="ann")
    document = json.loads(qcore("pause", "mail", "parcels", "--json"))
    validate(document)
    assert [one["changed"] for one in document["queues"]] == [False, True]
    assert document["queues"][0]["pause"]["by"] == "ann"
    document = json.loads(qcore("resume", "letters", "mail", "--json"))
    validate(document)
    assert [one["changed"] for one in document["queues"]] == [False, True]
    assert document["queues"][0]["pause"] is None


def test_a_system_without_a_name_for_its_user(monkeypatch):
    def nobody():
        raise KeyError("uid not found: 1000")

    give_own(monkeypatch, pause_verb, "getpass", getuser=nobody)
    qcore("pause", "mail")
    assert paused()[0].by is None


def test_a_name_that_looks_misspelt_is_told(settings, capsys):
    settings.Q_CLUSTER = {"name": "tests", "ALT_CLUSTERS": {"parcels": {}}}
    qcore("pause", "parcles")
    assert "did you mean 'parcels'?" in capsys.readouterr().err
    assert [one.queue for one in paused()] == ["parcles"], "it may be meant"


def test_a_name_that_no_queue_has_pauses_none():
    with pytest.raises(CallError, match="the name of the queue is empty"):
        qcore("pause", "mail", "")
    assert paused() == []


def test_info_and_monitor_show_it():
    pytest.importorskip("qcore_orm")
    pause("mail", by="ann", reason="no \x1b[1m money")
    for verb, mark in (("info", "paused"), ("monitor", "queue mail: paused")):
        out = io.StringIO()
        options = [verb] if verb == "info" else [verb, "--run-once"]
        VERBS[verb].run(parser().parse_args(options), out)
        text = out.getvalue()
        assert mark in text
        assert "paused by ann" in text
        assert "\x1b" not in text
        out = io.StringIO()
        VERBS[verb].run(parser().parse_args([*options, "--json"]), out)
        document = json.loads(out.getvalue())
        validate(document)
        assert [one["queue"] for one in document["paused"]] == ["mail"]
