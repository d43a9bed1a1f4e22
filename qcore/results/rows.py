"""Rows: what a store keeps of a result, and how two attempts become one.

All stores agree by using this module. The SQL of the ORM store says the same as
``merge`` in the language of each database.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import msgspec
from msgspec import UNSET

from ..envelope import RESENT_FROM, Options, Outcome, Result, Task
from ..errors import BadPackage, StoreRefused
from .content import (
    JOINED,
    JSON,
    TEXT,
    join_payloads,
    join_values,
    raws,
    storable,
    to_bytes,
    to_text,
)
from .fingerprint import fingerprint_of

#: Characters that the columns take; a longer text is clipped, never refused.
NAME = 100
PATH = 256
WORD = 16

_NO_OPTIONS = Options()
_encode = msgspec.json.Encoder().encode
_decode_options = msgspec.json.Decoder(Options).decode


class Said(Options, frozen=True, omit_defaults=True, gc=False):
    """What a row keeps of a task beside its call: its options, and fields of the task."""

    priority: int = 0
    resent_from: str | None = None  # the task that was sent again as this one
    expires: float | None = None  # it had to start by then; nobody is held to it twice


_decode_said = msgspec.json.Decoder(Said).decode
_NOTHING_SAID = Said()


class Row(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The stored form of one result; times are seconds since the epoch."""

    id: str
    name: str
    func: str
    hook: str | None
    group: str | None
    cluster: str | None
    enqueued: float
    started: float
    stopped: float
    success: bool
    outcome: str
    attempt_count: int
    crashes: int
    content: str  # the serializer of payload
    payload: str  # [args, kwargs] or [args, kwargs, rest of the chain]
    value_content: str  # the serializer of value; "text" for an error
    value: str
    options: str  # JSON of ``Said``; "" for nothing
    links: int
    iter_index: int | None
    iter_count: int | None
    # A cache may hold rows of an earlier release, which had none of these.
    final: bool = False  # the task is not run again
    fingerprint: str | None = None  # of the error of a failed attempt

    @property
    def is_dead(self) -> bool:
        """Whether the task has failed for good."""
        return self.final and self.fingerprint is not None and not self.success


FIELDS: tuple[str, ...] = Row.__struct_fields__


def clip(text: str, limit: int) -> str:
    """Return a text of at most ``limit`` characters.

    The end of a longer one gives way to a digest of the whole, so that two long
    names stay two names, and looking for the long name finds the clipped one.
    """
    if len(text) > limit:
        digest = hashlib.blake2b(text.encode(errors="replace"), digest_size=4)
        text = f"{text[: limit - 9]}~{digest.hexdigest()}"
    return storable(text) if "\0" in text else text


def row_of(result: Result) -> Row:
    """Return the row of one result."""
    task = result.task
    success = result.success
    body, links = task.body, task.links
    if links and success:
        body, links = call_to_keep(task)
    plain = (
        not task.priority
        and task.headers is None
        and task.expires is None
        and task.options == _NO_OPTIONS
    )
    return Row(
        id=task.id,
        name=clip(task.name, NAME),
        func=clip(task.func, PATH),
        hook=None if task.hook is None else clip(task.hook, PATH),
        group=None if task.group is None else clip(task.group, NAME),
        cluster=clip(task.queue, NAME),
        enqueued=task.created,
        started=result.started,
        stopped=result.stopped,
        success=success,
        outcome=result.outcome,
        attempt_count=result.attempt,
        crashes=0 if success else int(result.outcome == Outcome.CRASH),
        content=task.content,
        payload=to_text(body, task.content),
        value_content=result.content,
        value=to_text(result.value, result.content),
        options="" if plain else _said(task),
        links=links,
        iter_index=task.iter_index,
        iter_count=task.iter_count if result.final else None,
        final=result.final,
        fingerprint=None if success else fingerprint_of(result),
    )


def call_to_keep(task: Task) -> tuple[bytes, int]:
    """Return the body to store of a task that has succeeded, and the links in it.

    The rest of its chain is left out: the next link has it, and what is stored of a long
    chain would grow with the square of its length. A pickle is not opened for it.
    """
    if not task.links or task.content != JSON:
        return task.body, task.links
    try:
        args, kwargs, _ = raws(task.body)
    except (msgspec.DecodeError, ValueError):
        return task.body, task.links  # it is no chain, whatever it says
    return b"[%b,%b]" % (bytes(args), bytes(kwargs)), 0


def _said(task: Task) -> str:
    """Return what a task says beside its call, as JSON; "" for nothing."""
    origin = (task.headers or {}).get(RESENT_FROM)
    if not task.priority and origin is None and task.expires is None:
        return "" if task.options == _NO_OPTIONS else _encode(task.options).decode()
    options = {
        field: value
        for field in task.options.__struct_fields__
        if (value := getattr(task.options, field)) is not UNSET
    }
    said = Said(
        **options, priority=task.priority, resent_from=origin, expires=task.expires
    )
    return _encode(said).decode()


def result_of(row: Row) -> Result:
    """Return the result that a row was made of, as far as the row tells.

    Raises:
        BadPackage: somebody has damaged the row.
    """
    return Result(
        task=task_of(row),
        outcome=row.outcome,
        value=to_bytes(row.value, row.value_content),
        content=row.value_content,
        started=row.started,
        stopped=row.stopped,
        attempt=row.attempt_count,
        final=row.final,
    )


def task_of(row: Row) -> Task:
    """Return the task that a row was made of, as far as the row tells.

    Raises:
        BadPackage: somebody has damaged the row.
    """
    said = said_of(row.options)
    origin = said.resent_from
    return Task(
        id=row.id,
        name=row.name,
        func=row.func,
        queue=row.cluster or "",
        created=row.enqueued,
        content=row.content,
        body=to_bytes(row.payload, row.content),
        group=row.group,
        hook=row.hook,
        options=options_from(row.options),
        iter_index=row.iter_index,
        iter_count=row.iter_count,
        links=row.links,
        priority=said.priority,
        headers=None if origin is None else {RESENT_FROM: origin},
    )


def task_of_row(row: Row) -> Task:
    """Do as ``task_of``, for a store.

    Raises:
        StoreRefused: the row is damaged, or has the arguments of several calls.
    """
    if row.content == JOINED or row.id == row.group:
        raise StoreRefused(
            f"{row.name} id={row.id} is the joined result of several calls. Send its"
            " calls again with async_iter."
        )
    try:
        return task_of(row)
    except BadPackage as error:
        raise StoreRefused(f"{row.name} id={row.id} cannot be read: {error}") from error


def is_ended_call(row: Row) -> bool:
    """Whether a row is a call of an ``async_iter`` that will not be run again.

    A call that failed and will be tried again has its place, and no count.
    """
    return row.iter_index is not None and row.iter_count is not None


def options_from(text: str) -> Options:
    """Return the options of a task as its row has them."""
    return _decode_options(text) if text else _NO_OPTIONS


def said_of(text: str) -> Said:
    """Return what a task said beside its call, as its row has it."""
    return _decode_said(text) if text else _NOTHING_SAID


def stored_value(row: Row) -> tuple[str, bytes]:
    """Return the serializer of a row's value, and the value as it was given."""
    return readable(row.value, row.value_content)


def readable(value: str, content: str) -> tuple[str, bytes]:
    """Return the serializer of a stored value, and the value as it was given.

    In place of a value that somebody has damaged there is a text that says so: a task
    that has succeeded is not run again because its value cannot be read.
    """
    try:
        return content, to_bytes(value, content)
    except BadPackage as error:
        return TEXT, str(error).encode(errors="replace")


def merge(old: Row | None, new: Row) -> Row:
    """Return the row that is stored when ``new`` meets ``old``.

    The first success wins, and a failure that comes after that of a later attempt (its
    dispatcher stood still meanwhile) changes nothing. Crashes add up, but the same attempt
    stored twice, known by the moment it started, counts once.
    """
    if old is None:
        return new
    if old.success or (not new.success and new.attempt_count < old.attempt_count):
        return old
    crashes = old.crashes + (new.crashes if new.started != old.started else 0)
    return msgspec.structs.replace(new, crashes=crashes)


def collapse(results: Iterable[Result]) -> list[Row]:
    """Return one row for each task id, by id.

    Everybody who stores a batch locks rows in this order, so no two of them can wait
    for each other.
    """
    rows: dict[str, Row] = {}
    for result in results:
        row = row_of(result)
        old = rows.get(row.id)
        rows[row.id] = row if old is None else merge(old, row)
    return sorted(rows.values(), key=lambda row: row.id)


def join(group: str, rows: Sequence[Row]) -> Row:
    """Return the joined result of an ``async_iter``: a list of values and of arguments.

    Args:
        group: the id that the joined result has.
        rows: its calls, one or more.
    """
    ordered = sorted(rows, key=lambda row: row.iter_index or 0)
    content, payload = join_payloads([(row.content, row.payload) for row in ordered])
    values = [(row.value_content, row.value) for row in ordered]
    value_content, value = join_values(values)
    failed = [row.outcome for row in ordered if not row.success]
    return msgspec.structs.replace(
        ordered[0],
        id=group,
        enqueued=min(row.enqueued for row in rows),
        started=min(row.started for row in rows),
        stopped=max(row.stopped for row in rows),
        success=not failed,
        outcome=failed[0] if failed else Outcome.SUCCESS,
        attempt_count=max(row.attempt_count for row in rows),
        crashes=sum(row.crashes for row in rows),
        content=content,
        payload=payload,
        value_content=value_content,
        value=value,
        iter_index=None,
        iter_count=None,
        # it was never sent as one task, so nobody can send it again: it is not dead
        final=True,
        fingerprint=None,
    )
