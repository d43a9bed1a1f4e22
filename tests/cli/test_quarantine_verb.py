"""``qcore quarantine``: what it shows, and what it asks before it does something."""

from __future__ import annotations

import io
import json
import sys

import msgspec
import pytest
from support.json_schemas import validate

from qcore.cli import parser, quarantine
from qcore.cli.exits import FAILURE, OK
from qcore.errors import BrokerUnavailable, ConfigError, EnqueueError
from qcore.models import Quarantine
from qcore.runtime import current
from qcore.signing import Signer
from qcore.tasks import sending
from qcore.tasks.calls import build

pytestmark = pytest.mark.django_db

FORMER = "a key that is not listed any more"


@pytest.fixture(autouse=True)
def _empty():
    yield
    current.broker("parcels").purge_queue()


@pytest.fixture
def orphan():
    """A package of ours, signed with a key that is no longer listed."""
    task = build("chores.kind.add", (2, 3))
    return keep(Signer([FORMER], current.conf.name).sign(task)), task


def keep(package, reason="BadSignature"):
    current.store().quarantine("parcels", package, reason, "an unknown key")
    return Quarantine.objects.latest("id")


def qcore(*words, answer=None, monkeypatch=None):
    """Run the verb; ``answer`` is typed at a terminal."""
    if answer is not None:
        terminal = io.StringIO(answer)
        terminal.isatty = lambda: True
        monkeypatch.setattr(sys, "stdin", terminal)
    out = io.StringIO()
    code = quarantine.run(parser().parse_args(["quarantine", *words]), out)
    return code, out.getvalue()


def waiting():
    return current.broker("parcels").queue_size()


def test_an_empty_quarantine():
    assert qcore("list") == (OK, "No package is in quarantine.\n")
    _, text = qcore("list", "--json")
    assert json.loads(text)["packages"] == []


def test_the_newest_are_listed(orphan):
    bad = keep(b"garbage", "BadPackage")
    code, text = qcore("list", "--limit", "1")
    assert code == OK
    assert f"{bad.pk}" in text.splitlines()[1]
    assert "BadPackage" in text.splitlines()[1]
    assert text.splitlines()[2] == "and 1 more; --all shows them"
    assert "BadSignature" in qcore("list", "--all")[1]
    document = json.loads(qcore("list", "--json")[1])
    validate(document)
    assert (document["total"], len(document["packages"])) == (2, 2)


def test_what_a_package_says_of_itself_is_shown_and_no_argument(orphan):
    kept, task = orphan
    _, text = qcore("show", str(kept.pk))
    assert "an unknown key" in text
    assert "chores.kind.add" in text
    assert task.id in text
    assert "[2, 3]" not in text
    bad = keep(b"garbage", "BadPackage")
    assert "not a qcore package" in qcore("show", str(bad.pk))[1]
    validate(json.loads(qcore("show", "--all", "--json")[1]))


@pytest.mark.parametrize("action", ["delete", "resign"])
def test_nothing_is_done_without_a_yes(orphan, action, monkeypatch, capsys):
    kept, _ = orphan
    with pytest.raises(ConfigError, match=r"the input is no terminal.*--yes"):
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        qcore(action, str(kept.pk))
    code, _ = qcore(action, str(kept.pk), answer="y\n", monkeypatch=monkeypatch)
    assert code == FAILURE
    assert "nothing was changed" in capsys.readouterr().err
    assert Quarantine.objects.count() == 1
    assert waiting() == 0


def test_packages_are_deleted(orphan, monkeypatch):
    kept, _ = orphan
    keep(b"garbage")
    code, text = qcore("delete", str(kept.pk), answer="yes\n", monkeypatch=monkeypatch)
    assert (code, text) == (OK, "deleted 1 package\n")
    assert not Quarantine.objects.filter(pk=kept.pk).exists()
    validate(json.loads(qcore("delete", "--all", "--yes", "--json")[1]))
    assert Quarantine.objects.count() == 0


@pytest.mark.fault("G3")
def test_a_package_of_a_former_key_is_signed_anew_and_can_run(
    orphan, monkeypatch, capsys
):
    kept, task = orphan
    code, text = qcore("resign", str(kept.pk), answer="yes\n", monkeypatch=monkeypatch)
    assert (code, text) == (OK, f"{kept.pk}: sent as {task.id}\n")
    asked = capsys.readouterr().err
    assert "It is not proved where it comes from" in asked
    assert f"{kept.pk}: chores.kind.add" in asked
    assert Quarantine.objects.count() == 0
    (delivery,) = current.broker(task.queue).dequeue(1)
    assert current.signer.verify(delivery.package, task.queue) == task
    current.broker(task.queue).acknowledge(delivery.receipt)


def test_the_document_names_the_task(orphan):
    _, task = orphan
    code, text = qcore("resign", "--all", "--yes", "--json")
    document = json.loads(text)
    validate(document)
    assert code == OK
    assert [one["task_id"] for one in document["packages"]] == [task.id]
    current.broker(task.queue).purge_queue()


def test_one_that_cannot_be_read_stops_all(orphan):
    keep(b"garbage", "BadPackage")
    with pytest.raises(EnqueueError, match="not a qcore package"):
        qcore("resign", "--all", "--yes")
    assert Quarantine.objects.count() == 2
    assert current.broker().queue_size() == 0


def test_one_that_was_cut_is_not_sent(orphan):
    kept, _ = orphan
    Quarantine.objects.filter(pk=kept.pk).update(size=9_000_000)
    with pytest.raises(EnqueueError, match="of 9,000,000 bytes are kept"):
        qcore("resign", str(kept.pk), "--yes")


def test_what_the_project_does_not_admit_is_not_signed(orphan, settings):
    settings.Q_CLUSTER = settings.Q_CLUSTER | {"allowed_tasks": ["shop.tasks"]}
    with pytest.raises(EnqueueError, match=r"does not admit chores\.kind\.add"):
        qcore("resign", "--all", "--yes")


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"hook": "builtins.print"}, "its hook"),
        ({"chain": [("builtins.print", [1], {})]}, "a link of its chain"),
    ],
)
def test_hooks_and_links_are_shown_and_admitted(settings, capsys, more, what):
    task = build("chores.kind.add", (2, 3), **more)
    kept = keep(Signer([FORMER], current.conf.name).sign(task))
    _, text = qcore("show", str(kept.pk))
    assert "builtins.print" in text
    assert "cannot be signed" not in text
    settings.Q_CLUSTER = settings.Q_CLUSTER | {"allowed_tasks": ["chores"]}
    told = f"does not admit builtins.print, {what}"
    with pytest.raises(EnqueueError, match=told):
        qcore("resign", "--all", "--yes")
    _, text = qcore("show", str(kept.pk))
    assert "chores.kind.add" in text, "what it says is shown all the same"
    assert told in text


def test_escapes_of_a_forged_package_are_shown_as_text():
    task = msgspec.structs.replace(
        build("chores.kind.add", (2, 3)),
        func="a.b\x1b[2J",
        hook="c.d\r\x9b",
        group="\u202e",
    )
    kept = keep(Signer([FORMER], current.conf.name).sign(task))
    _, text = qcore("show", str(kept.pk))
    assert r"a.b\x1b[2J" in text
    assert not {"\x1b", "\r", "\x9b", "\u202e"} & set(text)


def test_a_pickle_is_not_signed_where_none_is_accepted():
    task = build("chores.kind.add", (2, 3))
    pickled = msgspec.structs.replace(task, content="pickle")
    keep(Signer([FORMER], current.conf.name).sign(pickled))
    with pytest.raises(EnqueueError, match="'pickle', this project accepts json"):
        qcore("resign", "--all", "--yes")


def test_a_broker_that_is_away_leaves_the_package(orphan, monkeypatch, capsys):
    def away(*_, **__):
        raise BrokerUnavailable("away")

    monkeypatch.setattr(sending, "send", away)
    code, _ = qcore("resign", "--all", "--yes")
    assert code == FAILURE
    assert "is not sent: away" in capsys.readouterr().err
    assert Quarantine.objects.count() == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["show"], "takes IDs or --all"),
        (["delete", "1", "--all"], "takes IDs or --all"),
        (["list", "1"], "did you mean show"),
        (["show", "4711"], "has the ID 4711"),
    ],
)
def test_mistakes_of_the_command_line(words, told):
    with pytest.raises(ConfigError, match=told):
        qcore(*words)
