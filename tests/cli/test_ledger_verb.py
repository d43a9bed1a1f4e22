"""``qcore ledger``: what waits, what is missing, and under which keys."""

from __future__ import annotations

import io
import json
import time

import pytest
from django.conf import settings as django_settings
from msgspec.structs import replace
from support.json_schemas import validate

from qcore.cli import ledger, parser
from qcore.cli.exits import FAILURE, OK
from qcore.envelope import Attempt, Outcome
from qcore.errors import BrokerUnavailable, ConfigError
from qcore.models import OutboxRow, Ticket, Tracked
from qcore.runtime import current
from qcore.signing import Signer
from qcore.tasks.calls import build
from qcore.testing.drain import enqueued
from qcore.testing.fixtures import qcore_queue  # noqa: F401 - a fixture

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("qcore_queue")]


def qcore(*words, code=OK):
    out = io.StringIO()
    assert ledger.run(parser().parse_args(["ledger", *words]), out) == code
    return out.getvalue()


def document(*words, code=OK):
    found = json.loads(qcore(*words, "--json", code=code))
    validate(found)
    return found


def leave(signer=None, **fields):
    """Leave a task in the outbox, signed by somebody."""
    task = build("chores.kind.add", (1,))
    package = (signer or current.signer).sign(task)
    usual = {"due": 4e9, "queue": task.queue, "task_id": task.id, "package": package}
    return OutboxRow.objects.create(**(usual | fields))


def track(task=None, age=7200.0, **fields):
    """Note a task that was sent long ago, and return it."""
    task = task or build("chores.kind.add", (1,), priority=3)
    current.tracker.write([(task, task.queue, None)])
    rows = Tracked.objects.filter(task_id=task.id)
    rows.update(enqueued=time.time() - age, **fields)
    return task


def signer_of(*secrets):
    return Signer(secrets, current.conf.name)


# -- status ------------------------------------------------------------------------------
def test_an_empty_outbox_and_one_with_tasks():
    assert qcore() == "The outbox is empty.\n"
    assert document()["queues"] == []
    leave()
    leave(signer_of("of another project"), due=1.0, tries=5)
    text = qcore("status")
    assert "1 under unknown" in text
    found = document()
    assert (found["tasks"], found["unknown_keys"], found["older_keys"]) == (2, 1, 0)
    assert found["queues"][0]["refused"] == 1
    assert found["queues"][0]["late_seconds"] > 0


# -- resign ------------------------------------------------------------------------------
def test_packages_under_older_keys_are_signed_anew(settings, tmp_path):
    new = leave()
    settings.SECRET_KEY_FALLBACKS = [django_settings.SECRET_KEY]
    settings.SECRET_KEY = "the key of today"
    held = leave(signer_of(settings.SECRET_KEY_FALLBACKS[0]), held_by="relay")
    lost = leave(signer_of("long gone"))
    assert document("resign", "--dry-run", code=FAILURE)["tasks"] == 1
    assert bytes(OutboxRow.objects.get(pk=new.pk).package) == new.package
    found = document("resign", "--yes", code=FAILURE)
    assert (found["tasks"], found["held"], found["current"]) == (1, 1, 0)
    assert found["unknown"] == [lost.task_id]
    row = OutboxRow.objects.get(pk=new.pk)
    assert current.signer.key_of(bytes(row.package)) == 0
    task = current.signer.verify(bytes(row.package), row.queue)
    assert (task.id, task.func) == (new.task_id, "chores.kind.add")
    assert bytes(OutboxRow.objects.get(pk=held.pk).package) == held.package
    file = tmp_path / "key"
    file.write_text("long gone\n")
    text = qcore("resign", "--key-file", str(file), "--yes")
    assert "signed anew: 1 task\n" in text
    assert current.signer.key_of(bytes(OutboxRow.objects.get(pk=lost.pk).package)) == 0
    assert "signed anew: 0 tasks" in qcore("resign")


def test_what_is_no_key_file(tmp_path):
    (tmp_path / "empty").touch()
    for name, told in (("none", "cannot be read"), ("empty", "is empty")):
        with pytest.raises(ConfigError, match=told):
            qcore("resign", "--key-file", str(tmp_path / name))


# -- resend ------------------------------------------------------------------------------
@pytest.mark.fault("L11")
def test_what_a_lost_queue_forgot_is_sent_with_its_own_id():
    task = track()
    assert "1 tracked task" in qcore("resend", "--dry-run")
    assert enqueued() == []
    with pytest.raises(ConfigError, match="the input is no terminal"):
        qcore("resend")
    assert document("resend", "--yes")["tasks"] == 1
    (sent,) = enqueued()
    assert (sent.id, sent.func, sent.body) == (task.id, task.func, task.body)
    assert (sent.relayed, sent.priority, sent.options.track) == (True, 3, True)


@pytest.mark.fault("L11")
def test_what_was_sent_again_before_is_sent_with_the_gen_of_its_ticket():
    """With a lower one it would be dropped at its claim, and be missing for ever."""
    task, first = track(), track()
    Ticket.objects.create(task_id=task.id, gen=2, runs=2)
    assert document("resend", "--yes")["tasks"] == 2
    assert {one.id: one.gen for one in enqueued()} == {task.id: 2, first.id: 0}


@pytest.mark.fault("L11")
def test_all_of_its_package_is_sent_again():
    task = track(
        build(
            "chores.kind.add", (1,), hook="chores.kind.note", group="night",
            timeout=7, max_attempts=2, priority=4, track=True,
        )
    )  # fmt: skip
    assert document("resend", "--yes")["tasks"] == 1
    (sent,) = enqueued()
    assert sent == replace(task, relayed=True)
    assert sent.hook == "chores.kind.note"


@pytest.mark.parametrize("said", [None, "no JSON", "[1, 2]"])
def test_a_row_of_the_release_before_is_sent_as_far_as_it_tells(said):
    task = track(build("chores.kind.add", (1,), hook="chores.kind.note"), said=said)
    assert document("resend", "--yes")["tasks"] == 1
    (sent,) = enqueued()
    assert (sent.id, sent.body, sent.hook) == (task.id, task.body, None)


@pytest.mark.parametrize("said", [None, b"{}"])
def test_a_row_that_cannot_be_read_stops_no_other(said, caplog):
    """Somebody has changed the column by hand."""
    broken, task = track(), track()
    change = {"content": "pickle", "payload": "no base64!"}
    if said is None:
        change["said"] = None
    Tracked.objects.filter(task_id=broken.id).update(**change)
    assert document("resend", "--yes")["tasks"] == 1
    assert [one.id for one in enqueued()] == [task.id]
    assert f"the task {broken.id} is passed over: stored pickle payload" in caplog.text
    assert Tracked.objects.filter(task_id=broken.id).exists()


def test_a_resend_that_fails_forgets_no_task(monkeypatch, capsys):
    """Its row is all that is left of it."""
    task = track()

    def refuse(*args, **more):
        raise BrokerUnavailable("away")

    broker = "qcore.brokers.memory.MemoryBroker"
    monkeypatch.setattr(f"{broker}.enqueue_with_priority", refuse)
    assert document("resend", "--yes", code=FAILURE)["tasks"] == 0
    assert f"task {task.id} is not sent: away" in capsys.readouterr().err
    assert Tracked.objects.filter(task_id=task.id).exists()


def test_what_is_known_to_be_somewhere_is_not_sent():
    young, ended, outbox, final, stored = (
        track(age=60), track(finished=1.0), track(), track(), track(),
    )  # fmt: skip
    later, tried = track(run_after=4e9), track(attempted=time.time() - 60)
    OutboxRow.objects.create(
        due=4e9, queue="q", task_id=outbox.id, package=current.signer.sign(outbox)
    )
    Ticket.objects.create(task_id=final.id, final="success", ended=1.0)
    end = Attempt(Outcome.SUCCESS, b"1", "json", 1.0, 2.0)
    current.results.save([end.result(stored, 1)])
    others = track()
    assert qcore("resend", "--queue", "of others") == "No tracked task is missing.\n"
    assert document("resend", "--yes")["tasks"] == 1
    assert [task.id for task in enqueued()] == [others.id]
    assert len({young, ended, later, tried}) == 4


def test_what_the_project_does_not_admit_is_not_sent(settings, capsys):
    track()
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, "allowed_tasks": ["shop"]}
    assert document("resend", "--yes", code=FAILURE)["tasks"] == 0
    assert "does not admit" in capsys.readouterr().err
