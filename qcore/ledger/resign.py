"""Signing anew: rows of the outbox whose package an older key has signed.

A row may wait for months, and a key that is taken out of use meanwhile would leave a package
that no cluster runs. The package stays the same task; only its signature changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.db import transaction

from ..errors import PackageError
from ..models import OutboxRow
from ..signing import Signer

if TYPE_CHECKING:
    from ..envelope import Task

#: Rows that are read together.
_PAGE = 200


@dataclass(slots=True)
class Resigned:
    """What was found in the outbox, and what was done about it; numbers of rows."""

    signed: int = 0
    """Signed anew."""
    current: int = 0
    """Signed with the key in use."""
    held: int = 0
    """Under an older key, and being sent right now; the relay has them."""
    unknown: list[str] = field(default_factory=list)
    """Ids of the tasks whose package was signed with none of the keys."""


def resign(
    database: str, signer: Signer, old: Sequence[Signer] = (), *, dry_run: bool = False
) -> Resigned:
    """Sign the packages of the outbox anew that an older key has signed.

    A row that a sender or a relay holds is left alone: it is on its way.

    Args:
        database: the alias of the ledger's.
        signer: of the project: its first key signs, its further keys are older ones.
        old: of keys that are in no setting any more.
        dry_run: whether to count only.

    Raises:
        django.db.Error: the database does not answer. What was signed before stays signed.
    """
    found = Resigned()
    for page in _pages(database):
        # one page is one short transaction, so that no relay waits for long
        with transaction.atomic(database):
            for row in page:
                _one(database, row, signer, old, found, dry_run=dry_run)
    return found


def _pages(database: str) -> Iterator[list[OutboxRow]]:
    rows, last = OutboxRow.objects.using(database).order_by("id"), 0
    while page := list(rows.filter(id__gt=last)[:_PAGE]):
        yield page
        last = page[-1].id


def _one(
    database: str,
    row: OutboxRow,
    signer: Signer,
    old: Sequence[Signer],
    found: Resigned,
    *,
    dry_run: bool,
) -> None:
    package = bytes(row.package)
    if signer.key_of(package) == 0:
        found.current += 1
        return
    task = _task_of(package, row.queue, (signer, *old))
    if task is None:
        found.unknown.append(row.task_id)
    elif row.held_by is not None:
        found.held += 1
    elif dry_run:
        found.signed += 1
    else:
        # whoever has claimed it since has read the old package
        mine = OutboxRow.objects.using(database).filter(id=row.id, held_by=None)
        changed = mine.update(package=signer.sign(task))
        found.signed += changed
        found.held += not changed


def _task_of(package: bytes, queue: str, signers: Sequence[Signer]) -> Task | None:
    for signer in signers:
        try:
            return signer.verify(package, queue)
        except PackageError:
            continue
    return None
