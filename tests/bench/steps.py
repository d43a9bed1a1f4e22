"""The steps of a task that no service takes part in, each as something to call.

``stages`` tells what they take, ``instructions`` what they execute.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

#: The task that takes the walk.
FUNC = "work.noop"


class Step(NamedTuple):
    """One step of one task."""

    where: str
    what: str
    work: Callable[[], Any]


def set_up(folder: Path, database: dict[str, Any]) -> None:
    """Be a project with that database; what its tasks write goes into the folder."""
    import django
    from django.conf import settings
    from django.core.management import call_command

    os.environ["BENCH_RECORDS"] = str(folder / "records")
    settings.configure(
        SECRET_KEY="bench",
        LOGGING={"version": 1, "loggers": {"qcore": {"level": "ERROR"}}},
        USE_TZ=True,
        DATABASES={"default": database},
        INSTALLED_APPS=["django.contrib.contenttypes", "qcore", "qcore_orm"],
        Q_CLUSTER={"name": "bench", "orm": "default", "save_limit": 0},
    )
    django.setup()
    call_command("migrate", verbosity=0)


def steps() -> Iterator[Step]:
    """Yield the steps in the order of the walk; Django is set up, and has a database."""
    from django.db import connections as django_connections
    from django.db.backends.signals import connection_created

    from qcore.cluster import connections
    from qcore.engine.wire.messages import (
        Reply,
        pack_reply,
        pack_run,
        unpack_order,
        unpack_reply,
    )
    from qcore.engine.worker.cleanup import Cleanup
    from qcore.runtime import current
    from qcore.signing import peek
    from qcore.tasks.calls import build
    from qcore.tasks.execute import execute

    task, signer = build(FUNC, (5,)), current.signer
    package = signer.sign(task)
    order = pack_run(package, 1, 1)
    reply = Reply(execute(task, 1, "host:1")[0], 1, 0)
    frame = pack_reply(reply)
    tidy, cleanup = connections.Tidy(), Cleanup(5.0)
    used = django_connections["default"]  # as by a task
    connection_created.send(type(used), connection=used)

    yield Step("caller", "build", lambda: build(FUNC, (5,)))
    yield Step("caller", "encode and sign", lambda: signer.sign(task))
    yield Step(
        "dispatcher", "verify and decode", lambda: signer.verify(package, task.queue)
    )
    yield Step("dispatcher", "pack an order", lambda: pack_run(package, 1, 1))
    yield Step("worker", "read the order", lambda: peek(unpack_order(order).package))
    yield Step(
        "worker",
        "run it (the task writes a line)",
        lambda: execute(task, 1, "host:1"),
    )
    yield Step(
        "worker",
        "look at what it left",
        lambda: (cleanup.after(task, None), tidy.after(task)),
    )
    yield Step("worker", "pack the reply", lambda: pack_reply(reply))
    yield Step("dispatcher", "read the reply", lambda: unpack_reply(frame))
