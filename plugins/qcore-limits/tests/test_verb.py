"""The verb `qcore limits`: what it lists, and what it changes."""

from __future__ import annotations

import datetime as dt
import io
import json
from argparse import ArgumentParser

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from support.json_schemas import validate
from support.staff import permit

from qcore import Claim
from qcore.errors import ConfigError
from qcore.ledger.features import Features
from qcore.runtime import current
from qcore.tasks import async_task, status
from qcore.testing.drain import enqueued
from qcore_limits import Limit, verb
from qcore_limits.models import LimitChange

SETTINGS = {
    "name": "tests",
    "broker_class": "chores.outside.OutsideBroker",
    "limits": {"smtp": {"concurrency": 1, "rate": "100/m", "burst": 9}},
}


@pytest.fixture(autouse=True)
def queue(transactional_db):
    with override_settings(Q_CLUSTER=SETTINGS):
        current.broker().purge_queue()
        yield
        current.broker().purge_queue()


def run(*words):
    parser = ArgumentParser()
    verb.add_arguments(parser)
    out = io.StringIO()
    assert verb.run(parser.parse_args(words), out) == 0
    return out.getvalue()


def listed(*words):
    document = json.loads(run(*words, "--json"))
    validate(document)
    return document["limits"]


def claimed(count, limits="smtp"):
    """Send tasks under a limit and have a cluster claim them; return their ids."""
    for number in range(count):
        async_task("chores.kind.add", number, q_options={"limits": limits})
    features = Features(current.registry.features, current.ledger, current.signer.sign)
    tasks = enqueued()
    features.admit([Claim(task, 1, 0.0) for task in tasks])
    current.broker().purge_queue()
    return [task.id for task in tasks]


def test_a_project_without_limits():
    with override_settings(Q_CLUSTER=SETTINGS | {"limits": {}}):
        assert "There are no limits." in run()
        assert listed() == []


def test_what_is_declared_and_not_used_yet():
    text = run()
    assert "smtp: concurrency 1, rate 100/m, burst 9" in text
    assert "no task has come under it yet" in text
    (one,) = listed()
    assert (one["keys"], one["set"], one["declared"]["concurrency"]) == ([], None, 1)


def test_what_is_held_and_parked_by_key():
    claimed(4)
    claimed(1, Limit("api", concurrency=3, key="{left}"))
    api, smtp = listed()
    (key,) = smtp["keys"]
    assert (key["held"], key["reserved"], key["parked"], key["later"]) == (1, 0, 3, 0)
    assert key["oldest_seconds"] >= 0
    assert [key["key"] for key in api["keys"]] == ["api:0"]
    assert (api["declared"], api["key_count"]) == (None, 1)
    text = run("list", "smtp")
    assert "parked" in text
    assert "api:0" not in text


def test_the_keys_of_each_limit_in_as_many_statements_as_those_of_one(
    django_assert_max_num_queries, monkeypatch
):
    claimed(4)
    for name, count in (("api", 3), ("mail", 7)):
        claimed(count, Limit(name, concurrency=3, key="{left}"))
    monkeypatch.setattr(verb, "KEYS", 5)
    with django_assert_max_num_queries(8):
        api, mail, smtp = listed()
    assert [len(one["keys"]) for one in (api, mail, smtp)] == [3, 5, 1]
    assert [one["key_count"] for one in (api, mail, smtp)] == [3, 7, 1]
    assert {key["held"] for key in mail["keys"]} == {1}
    assert smtp["keys"][0]["parked"] == 3
    assert "and 2 more keys" in run("list", "mail")


def test_set_wakes_those_that_may_run_now():
    ids = claimed(4)
    text = run("set", "smtp", "--concurrency", "3")
    assert "smtp: concurrency 3, rate 100/m, burst 9 (set by " in text
    assert [status(id) for id in ids[1:]] == ["waiting", "waiting", "parked"]
    assert dt.datetime.fromisoformat(listed()[0]["set"]["at"]).tzinfo == dt.UTC
    run("set", "smtp", "--rate", "none", "--burst", "none")
    row = LimitChange.objects.get()
    assert (row.concurrency, row.rate, row.burst) == (3, "", None)
    assert listed("reset", "smtp")[0]["set"] is None
    assert not LimitChange.objects.exists()


def test_a_limit_that_only_set_has_named_is_gone_after_its_reset():
    assert "new: concurrency 3 (set by " in run("set", "new", "--concurrency", "3")
    assert "new: nobody has a limit of this name now" in run("reset", "new")
    run("set", "new", "--concurrency", "3")
    assert listed("reset", "new") == []
    assert not LimitChange.objects.exists()


def test_a_name_that_nothing_has_named_is_doubted(capsys):
    run("set", "smpt", "--concurrency", "3")
    warned = capsys.readouterr().err
    assert "nothing has named a limit 'smpt' before - did you mean 'smtp'?" in warned
    assert "`qcore limits reset smpt` takes it back" in warned
    run("set", "smpt", "--concurrency", "4")
    run("set", "smtp", "--concurrency", "4")
    assert capsys.readouterr().err == ""


def test_a_message_names_the_command_once():
    with pytest.raises(ConfigError) as raised:
        run("set", "smtp", "--concurrency", "many")
    assert "qcore limits" not in str(raised.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["set"], "expects the NAME"),
        (["set", "smtp", "--concurrency", "0"], "concurrency=1 to"),
        (["set", "smtp", "--concurrency", "many"], "a number or none, got 'many'"),
        (["set", "smtp", "--rate", "100"], "rate='100/m'"),
        (["set", "new"], "--concurrency or a --rate"),
        (["set", "a b", "--concurrency", "1"], "name="),
        (["reset", "smtp"], "nobody has set the limit 'smtp'"),
        (["list", "smpt"], "there is no limit 'smpt' - did you mean 'smtp'?"),
        (["list", "nothing"], "there is no limit 'nothing'. There are: smtp"),
        (["list", "--rate", "1/s"], "--rate is for set"),
    ],
    ids=str,
)
def test_what_cannot_be_meant(words, said):
    with pytest.raises(ConfigError, match=said):
        run(*words)
    assert not LimitChange.objects.exists()


def test_missing_tables_are_told(monkeypatch):
    from qcore_limits.models import LimitKey

    monkeypatch.setattr(LimitKey._meta, "db_table", "no_such_table")
    with pytest.raises(ConfigError, match=r"manage\.py migrate --database"):
        run()


# -- the same on the dashboard -----------------------------------------------------------
def page(client, *codes, query=""):
    """Return the page of limits as somebody of the staff sees it who has these permissions."""
    pytest.importorskip("qcore_dashboard")
    user, _ = User.objects.get_or_create(username="ann", is_staff=True)
    permit(user, "view_dashboard", *codes)
    client.force_login(user)
    address = reverse("admin:qcore_dashboard_page", args=["limits"])
    with CaptureQueriesContext(connection) as asked:
        answer = client.get(address + query)
    assert len(asked) <= 12, [one["sql"] for one in asked]
    return answer


def test_a_page_without_limits(client):
    with override_settings(Q_CLUSTER=SETTINGS | {"limits": {}}):
        assert "There are no limits." in page(client, "view_limitkey").text
    text = page(client, "view_limitkey").text
    assert "No task has come under a limit yet." in text
    assert page(client).status_code == 403


def test_a_page_of_what_is_held_and_parked(client):
    claimed(4)
    claimed(3, Limit("api", concurrency=3, key="{left}"))
    run("set", "smtp", "--concurrency", "1")
    data = page(client, "view_limitkey", query="?format=json").json()["data"]
    api, smtp = data["limits"]
    assert (smtp["concurrency"], smtp["rate"], api["declared"]) == (1, "100/m", None)
    assert smtp["set_at"] > 0
    (key,) = [one for one in data["keys"] if one["limit"] == "smtp"]
    assert data["keys"][0] == key, "those with most waiting tasks come first"
    assert (key["held"], key["reserved"], key["parked"], key["later"]) == (1, 0, 3, 0)
    assert key["oldest_seconds"] >= 0
    assert key["key"] is None
    codes = ("view_limitkey", "view_args")
    assert "api:0" not in page(client, "view_limitkey").text
    assert "api:0" in page(client, *codes).text
    data = page(client, *codes, query="?format=json").json()["data"]
    assert {one["key"] for one in data["keys"]} == {"api:0", "api:1", "api:2", "smtp"}


def test_a_page_shows_some_keys_of_many(client, monkeypatch):
    pytest.importorskip("qcore_dashboard")
    monkeypatch.setattr("qcore_limits.page.SIZE", 2)
    claimed(3, Limit("api", concurrency=3, key="{left}"))
    data = page(client, "view_limitkey", query="?format=json").json()["data"]
    assert (len(data["keys"]), data["has_more"]) == (2, True)
    assert "Only the keys with most" in page(client, "view_limitkey").text
