"""Pages of the dashboard: batches, graphs, durable tasks, and what people can do there."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from chores import durable
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from support.staff import permit

from qcore.printable import printable
from qcore.tasks import fetch
from qcore_flows import Batch, Flow
from qcore_flows.models import Run, RunStep

pytest.importorskip("qcore_dashboard")

ECHO = "chores.kind.echo"
#: Markup that may never reach a page as it is.
EVIL = "<img src=x onerror=alert(1)>\x1b'\""
#: Statements of a page, with those of the session and of the permissions.
MOST_QUERIES = 12


def url(slug, rest=""):
    if rest:
        return reverse("admin:qcore_dashboard_part", args=[slug, rest])
    return reverse("admin:qcore_dashboard_page", args=[slug])


def act(client, slug, name, **fields):
    address = reverse("admin:qcore_dashboard_act", args=[slug, name])
    headers = {"Accept": "application/json"}
    return client.post(address, fields, headers=headers)


def data(client, slug, rest="", **query):
    answer = client.get(url(slug, rest), {"format": "json", **query})
    assert answer.status_code == 200
    return answer.json()["data"]


@pytest.fixture
def staff(client):
    """Log in somebody of the staff who has these permissions and no other."""

    def staff(*codes):
        user, _ = User.objects.get_or_create(username="ann", is_staff=True)
        permit(user, "view_dashboard", *codes)
        client.force_login(user)
        return client

    return staff


class Inline(HTMLParser):
    """Finds what a Content-Security-Policy without 'unsafe-inline' refuses."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        names = dict(attrs)
        if tag in ("style", "img") or (tag == "script" and "src" not in names):
            self.found.append(tag)
        self.found += [name for name in names if name == "style" or name[:2] == "on"]


def seen(client, slug, rest="", **query):
    """Return a page, which has nothing inline and asks the database little."""
    with CaptureQueriesContext(connection) as asked:
        answer = client.get(url(slug, rest), query)
    assert answer.status_code == 200
    assert len(asked) <= MOST_QUERIES, [one["sql"] for one in asked]
    parser = Inline()
    parser.feed(answer.text)
    assert parser.found == []
    assert "\x1b" not in answer.text
    return answer.text


# -- batches and graphs ----------------------------------------------------------------------
def test_flows_without_any(queue, admin_client):
    assert "No batch and no graph was sent" in seen(admin_client, "flows")
    found = data(admin_client, "flows")
    assert found == {"flow": None, "flows": [], "is_first": True, "next": None}
    assert admin_client.get(url("flows", "0" * 32)).status_code == 404
    assert admin_client.get(url("flows", "order")).status_code == 404


def test_flows_are_listed_in_portions(queue, admin_client, monkeypatch):
    monkeypatch.setattr("qcore_flows.pages.flows.SIZE", 2)
    for name in ("first", EVIL, "third"):
        with Batch(name) as batch:
            batch.add(ECHO, 1)
    found = data(admin_client, "flows")
    assert [one["name"] for one in found["flows"]] == ["third", printable(EVIL)]
    text = seen(admin_client, "flows")
    assert "&lt;img" in text
    assert f"?before={found['next']}" in text
    rest = data(admin_client, "flows", before=found["next"])
    assert [one["name"] for one in rest["flows"]] == ["first"]
    assert (rest["is_first"], rest["next"]) == (False, None)
    assert admin_client.get(url("flows"), {"before": "x"}).status_code == 400


def test_the_members_of_a_graph(queue, admin_client, monkeypatch):
    with Flow("order 17") as flow:
        a = flow.add(ECHO, 1, task_name=EVIL)
        flow.add(ECHO, a)
        flow.add(ECHO, 2)
    queue.end(a.id, outcome="failure")
    found = data(admin_client, "flows", flow.id)
    states = [one["state"] for one in found["members"]]
    assert states == ["failure", "skipped", "sent"]
    can = [(one["can_be_cancelled"], one["can_be_retried"]) for one in found["members"]]
    assert can == [(False, True), (False, False), (True, False)]
    assert found["flow"]["created"] == pytest.approx(flow.status().created)
    text = seen(admin_client, "flows", flow.id)
    assert "Send the failed again" in text
    assert url("task", found["members"][0]["task_id"]) in text
    failed = data(admin_client, "flows", flow.id, failed="1")["members"]
    assert [one["state"] for one in failed] == ["failure", "skipped"]
    monkeypatch.setattr("qcore_flows.pages.flows.SIZE", 2)
    assert data(admin_client, "flows", flow.id)["next"] == 2
    (last,) = data(admin_client, "flows", flow.id, **{"from": "2"})["members"]
    assert last["state"] == "sent"
    answer = admin_client.get(url("flows", flow.id), {"from": "-1"})
    assert answer.status_code == 400


def test_a_large_batch_costs_no_more_queries(queue, admin_client):
    with Batch() as batch:
        batch.add_many(ECHO, list(range(300)))
    text = seen(admin_client, "flows", batch.id)
    assert "300: 0 succeeded" in text
    assert "?from=50" in text
    assert "Send again" not in text


def test_nodes_are_cancelled_and_sent_again(queue, admin_client):
    with Flow() as flow:
        a = flow.add(ECHO, 1)
        b = flow.add(ECHO, a)
        c = flow.add(ECHO, 2)
    asked = act(admin_client, "flows", "cancel", id=flow.id, node=b.id)
    assert asked.status_code == 409
    assert flow.status().pending == 3
    done = act(admin_client, "flows", "cancel", id=flow.id, node=b.id, sure="yes")
    assert done.json()["done"] == "1 member is to be cancelled."
    queue.end(c.id, outcome="failure")
    done = act(admin_client, "flows", "retry", id=flow.id, node=c.id)
    assert done.json()["done"] == "1 member is sent again."
    refused = act(admin_client, "flows", "retry", id=flow.id, node=c.id)
    assert refused.status_code == 400
    assert "has not ended: cancel it first" in refused.json()["problem"]
    done = act(admin_client, "flows", "cancel", id=flow.id, sure="yes")
    assert done.json()["done"] == "2 members are to be cancelled."
    assert flow.status().state == "cancelled"


@pytest.mark.parametrize("fields", [{}, {"id": "x"}, {"id": "0" * 32}])
@pytest.mark.parametrize("name", ["cancel", "retry"])
def test_forms_without_a_flow_are_refused(queue, admin_client, name, fields):
    answer = act(admin_client, "flows", name, **fields, sure="yes")
    assert answer.status_code == 400
    assert answer.json()["problem"]


def test_a_batch_has_no_nodes(queue, admin_client):
    with Batch() as batch:
        id = batch.add(ECHO, 1)
    for node in (id, "x"):
        answer = act(admin_client, "flows", "cancel", id=batch.id, node=node)
        assert "has no nodes" in answer.json()["problem"]


def test_who_may_see_flows_and_who_may_act(queue, staff):
    with Flow() as flow:
        a = flow.add(ECHO, 1)
    queue.end(a.id, outcome="failure")
    assert staff().get(url("flows")).status_code == 403
    client = staff("view_flowrow")
    assert "<form" not in client.get(url("flows", flow.id), {"fragment": "1"}).text
    for name in ("cancel", "retry"):
        assert act(client, "flows", name, id=flow.id).status_code == 403
    client = staff("view_flowrow", "resubmit_task")
    page = client.get(url("flows", flow.id), {"fragment": "1"}).text
    assert page.count("<form") == 2
    assert client.get(url("runs")).status_code == 403


# -- durable tasks ---------------------------------------------------------------------------
@pytest.fixture
def ended(clock):
    """The id of a durable task that has done some steps, and has failed."""
    id = "f" * 32
    Run.objects.create(
        task_id=id, func=EVIL[:200], state="failure", created=1.0, start=2, ended=9.0
    )
    for number, kind in enumerate(("step", "sleep", "wait")):
        RunStep.objects.create(
            run_id=id, digest=str(number), name=f"name {number}", kind=kind,
            began=2.0 + number, done=3.5 + number, content="json", value=b"1",
        )  # fmt: skip
    return id


@pytest.mark.django_db
def test_runs_without_any(clock, admin_client):
    assert "No durable task has begun" in seen(admin_client, "runs")
    assert data(admin_client, "runs")["runs"] == []
    assert admin_client.get(url("runs", "0" * 32)).status_code == 404
    for query in ({"state": "suspend"}, {"before": "x"}):
        assert admin_client.get(url("runs"), query).status_code == 400
    answer = admin_client.get(url("runs"), {"state": "suspend"})
    assert "did you mean &#x27;suspended&#x27;" in answer.text


@pytest.mark.django_db
def test_a_run_that_waits_is_shown_and_cancelled(clock, admin_client):
    id = durable.onboard.enqueue("ada")
    clock.advance(seconds=0)
    found = data(admin_client, "runs", id)
    assert found["run"]["state"] == "suspended"
    assert found["can_be_cancelled"]
    waits = found["timeline"][-1]
    assert (waits["state"], waits["seconds"]) == ("waits", None)
    text = seen(admin_client, "runs", id)
    assert f"waits for</dt><dd>{waits['name']}" in text
    (listed,) = data(admin_client, "runs", state="suspended")["runs"]
    assert listed["task_id"] == id
    assert data(admin_client, "runs", state="failure")["runs"] == []
    assert "No durable task is in the state failure" in seen(
        admin_client, "runs", state="failure"
    )
    assert act(admin_client, "runs", "cancel", id=id).status_code == 409
    assert act(admin_client, "runs", "cancel", id=id, sure="yes").status_code == 200
    clock.advance(seconds=0)
    assert fetch(id).outcome == "cancelled"
    again = act(admin_client, "runs", "cancel", id=id, sure="yes")
    assert "has ended" in again.json()["problem"]
    none = act(admin_client, "runs", "cancel", id="0" * 32, sure="yes")
    assert "There is no run" in none.json()["problem"]


@pytest.mark.django_db
def test_the_timeline_of_a_failed_run(ended, admin_client, monkeypatch):
    found = data(admin_client, "runs", ended)
    assert [one["kind"] for one in found["timeline"]] == ["step", "sleep", "wait"]
    assert found["timeline"][0]["seconds"] == 1.5
    text = seen(admin_client, "runs", ended)
    assert text.count("Resume from here") == 3
    assert "&lt;img" in text
    monkeypatch.setattr("qcore_flows.pages.runs.SIZE", 2)
    assert data(admin_client, "runs", ended)["next"] == 2
    (last,) = data(admin_client, "runs", ended, **{"from": "2"})["timeline"]
    assert last["name"] == "name 2"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "done_again"), [({}, [2]), ({"step": "part[1]", "sure": "yes"}, [1, 2])]
)
def test_a_failed_run_is_resumed(clock, admin_client, ran, failed, fields, done_again):
    asked = act(admin_client, "runs", "resume", id=failed, step="part[1]")
    assert asked.status_code == 409
    wrong = act(admin_client, "runs", "resume", id=failed, step="part[9]", sure="yes")
    assert "has no step 'part[9]'" in wrong.json()["problem"]
    none = act(admin_client, "runs", "resume", id="0" * 32)
    assert "There is no run" in none.json()["problem"]
    done = act(admin_client, "runs", "resume", id=failed, **fields).json()["done"]
    assert done.startswith(f"{failed} is sent again as ")
    clock.advance(seconds=0)
    assert fetch(done.removesuffix(".").split()[-1]).result == [0, 2, 4]
    assert ran == done_again


@pytest.mark.django_db
def test_who_may_see_runs_and_who_may_act(ended, staff):
    assert staff().get(url("runs")).status_code == 403
    client = staff("view_run")
    assert "<form" not in client.get(url("runs", ended), {"fragment": "1"}).text
    for name in ("cancel", "resume"):
        assert act(client, "runs", name, id=ended).status_code == 403
    page = staff("view_run", "resubmit_task").get(url("runs", ended), {"fragment": "1"})
    assert page.text.count("<form") == 4
