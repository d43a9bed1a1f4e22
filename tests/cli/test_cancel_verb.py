"""``qcore cancel``."""

from __future__ import annotations

import io
import json

import pytest
from support.json_schemas import validate

from qcore.cli import cancel, parser
from qcore.cli.exits import OK
from qcore.envelope import new_id
from qcore.errors import ConfigError
from qcore.models import Ticket

pytestmark = pytest.mark.django_db


def qcore(*words):
    out = io.StringIO()
    assert cancel.run(parser().parse_args(["cancel", *words]), out) == OK
    return out.getvalue()


def test_what_was_found_of_each():
    waits, ended = new_id(), new_id()
    Ticket.objects.create(task_id=ended, final="success", ended=1.0)
    assert qcore(waits, ended) == (
        f"{waits}: asked; it waits in its queue, or is not known\n"
        f"{ended}: has ended; nothing is asked\n"
    )
    document = json.loads(qcore(waits, ended, "--json"))
    validate(document)
    assert [one["asked"] for one in document["tasks"]] == [True, False]


def test_a_name_is_refused():
    with pytest.raises(ConfigError, match="'add-51f09a3c' is no id of a task"):
        qcore(new_id(), "add-51f09a3c")
    assert not Ticket.objects.exists()
