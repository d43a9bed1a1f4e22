"""Queued packages: what django-q has signed is verified, sent anew, and taken out.

A signature is verified before the pickle is opened, with the keys and the name of this
project: that is what a cluster of django-q would run, and nothing else.
"""

from __future__ import annotations

from typing import Any

import msgspec
from django.db import DatabaseError
from django.utils import timezone

from qcore.errors import EnqueueError, QcoreError
from qcore.runtime import current
from qcore.tasks.sending import send

from ..packages import is_task, task_of
from ..signing import BadSignature, PickleSerializer, verified
from .report import Part
from .tables import QUEUE, model_of


def move_packages(part: Part, alias: str, *, dry_run: bool, claimed: bool) -> None:
    """Send what is queued in a database to the broker of the project.

    Args:
        part: notes what becomes of each.
        alias: of the database of django-q's ORM broker.
        dry_run: read and verify, send nothing.
        claimed: also what a cluster has claimed, and may be running.
    """
    old = model_of(QUEUE, alias)
    if old is None:
        return
    for row in old.objects.using(alias).order_by("pk").iterator():
        what = f"{row.pk} on {row.key!r}"
        # django-q2 writes the moment of sending into the lock of what waits
        if row.lock is not None and row.lock > timezone.now() and not claimed:
            reason = (
                f"a cluster has claimed it until {row.lock:%Y-%m-%d %H:%M:%S}, and may be"
                " running it. --claimed moves it, too."
            )
            part.left.append((what, reason))
            continue
        try:
            task = _task(row)
            if not dry_run:
                send([task], commit="now")
                row.delete(using=alias)
        except (QcoreError, BadSignature, DatabaseError) as error:
            part.left.append((what, str(error)))
        else:
            part.moved += 1


def _task(row: Any) -> Any:
    """Return the task of a row.

    Raises:
        BadSignature: this project has not signed it.
        EnqueueError: it cannot be read, or not be sent.
    """
    data = verified(row.payload)
    try:
        package = PickleSerializer.loads(data)
    except Exception as error:
        raise EnqueueError(
            f"its pickle cannot be opened: {type(error).__name__}: {error}"
        ) from error
    if not is_task(package):
        raise EnqueueError("it is signed, and holds no task.")
    package = dict(package)
    package.pop("sync", None)
    if row.key != current.conf.queue:
        package["cluster"] = row.key
    task = task_of(package)
    # a run that ended between sending and deleting sends it again, and it runs once
    options = msgspec.structs.replace(task.options, own_id=True)
    return msgspec.structs.replace(task, options=options)
