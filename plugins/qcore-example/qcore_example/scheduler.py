"""A scheduler whose schedules are rows of a file.

What a schedule says is an ``Entry``: it checks itself, works out its slots and makes the
task of each. The same slot always has the same task id, so a task that is sent twice
runs once. A slot that has fired is a row of the outbox until the broker has it: a
cluster that dies in between loses nothing.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import sqlite3
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from qcore import Scheduler
from qcore.brokers.priorities import enqueue_packages
from qcore.errors import ConfigError, EnqueueError, QcoreError
from qcore.runtime import current
from qcore.schedules import rules
from qcore.schedules.entry import Entry, encode_call
from qcore.tasks.functions import path_of

from .database import Database

if TYPE_CHECKING:
    from qcore import Conf

logger = logging.getLogger("qcore_example")

#: Seconds between two looks: a new schedule is seen within this.
LOOK = 2.0
#: Slots of one schedule that one tick fires when it catches up.
BURST = 100
#: Seconds after which a schedule that cannot be fired is tried again.
AGAIN = 60.0

TABLES = (
    """CREATE TABLE IF NOT EXISTS schedules (
        id INTEGER PRIMARY KEY, name TEXT UNIQUE, entry TEXT, repeats INTEGER,
        due REAL)""",
    "CREATE TABLE IF NOT EXISTS outbox (id TEXT PRIMARY KEY, queue TEXT, package BLOB)",
)


class ExampleScheduler(Scheduler):
    """Fires the schedules in a file that the processes of a project share."""

    supports_counts = True

    def __init__(self, conf: Conf) -> None:
        """Check the options; the file is not touched before it is needed."""
        super().__init__(conf)
        file = "schedules.sqlite3"
        self._database = Database(conf, "example_scheduler", file, TABLES)

    def tick(self) -> float:
        now = dt.datetime.now(dt.UTC)
        with self._database.transaction() as database:
            due = database.execute(
                "SELECT id, entry, repeats FROM schedules WHERE due <= ? ORDER BY due",
                [now.timestamp()],
            ).fetchall()
            for id, text, repeats in due:
                try:
                    self._fire(database, id, _read(text), repeats, now)
                except (QcoreError, ValueError, KeyError) as error:
                    logger.error("schedule %s cannot be fired: %s", id, error)
                    later = now.timestamp() + AGAIN
                    move = "UPDATE schedules SET due = ? WHERE id = ?"
                    database.execute(move, [later, id])
        self._send()
        return self._pause()

    def schedule(
        self, func: Callable[..., Any] | str, args: tuple[Any, ...], **options: Any
    ) -> int:
        entry, repeats = self._entry(func, args, options)
        if found := entry.problems(self.conf):
            told = " ".join(f"{field}: {text}" for field, text in found.items())
            raise EnqueueError(f"cannot schedule {entry.func}: {told}")
        first = entry.next_run or entry.first_run(self.conf, dt.datetime.now(dt.UTC))
        text = _written(replace(entry, next_run=first))
        with self._database.transaction() as database:
            known = database.execute(
                "SELECT id FROM schedules WHERE name = ?", [entry.name]
            )
            if known.fetchone():
                raise EnqueueError(f"there is a schedule called {entry.name!r} already")
            made = database.execute(
                "INSERT INTO schedules (name, entry, repeats, due) VALUES (?, ?, ?, ?)",
                [entry.name, text, repeats, first.timestamp()],
            )
            return int(made.lastrowid or 0)

    def count(self) -> int:
        with self._database.transaction() as database:
            found = database.execute("SELECT count(*) FROM schedules").fetchone()
        return int(found[0])

    def _entry(
        self,
        func: Callable[..., Any] | str,
        args: tuple[Any, ...],
        options: dict[str, Any],
    ) -> tuple[Entry, int]:
        """Return what a call of ``schedule`` says, and how often it shall run."""
        own = {
            name: options.pop(name, None)
            for name in ("name", "hook", "cluster", "cron", "minutes", "next_run")
        }
        kind, repeats = options.pop("schedule_type", None), options.pop("repeats", -1)
        intended = options.pop("intended_date_kwarg", None)
        try:
            kind = rules.infer_type(kind, own["cron"], own["minutes"])
        except ConfigError as error:
            raise EnqueueError(f"cannot schedule {func}: {error}") from error
        if not rules.is_type(kind):
            raise EnqueueError(f"cannot schedule {func}: {rules.unknown_type(kind)}")
        if own["hook"] is not None:
            own["hook"] = path_of(own["hook"])
        positional, keywords = encode_call(args, options)
        entry = Entry(
            **own,
            label=own["name"] or "example",
            func=path_of(func),
            args=positional,
            kwargs=keywords,
            type=str(kind),
            anchor=own["next_run"],
            intended_date_kwarg=intended,
        )
        return entry, 1 if kind == rules.ONCE else repeats

    def _fire(
        self,
        database: sqlite3.Connection,
        id: int,
        entry: Entry,
        repeats: int,
        now: dt.datetime,
    ) -> None:
        """Write the due slots of a schedule into the outbox, and move it on."""
        rule = entry.rule(self.conf)
        limit = min(BURST, repeats) if repeats > 0 else BURST
        due = entry.next_run or now
        slots, following = rules.due_slots(
            rule, due, now, catch_up=self.conf.catch_up, limit=limit
        )
        for slot in slots:
            task = entry.task(self.conf, f"example {id}", slot)
            package = current.signer.sign(task)
            values = [task.id, task.queue, package]
            database.execute("INSERT OR IGNORE INTO outbox VALUES (?, ?, ?)", values)
        left = repeats - len(slots) if repeats > 0 else repeats
        if following is None or left == 0:
            database.execute("DELETE FROM schedules WHERE id = ?", [id])
            return
        text = _written(replace(entry, next_run=following, anchor=rule.anchor))
        database.execute(
            "UPDATE schedules SET entry = ?, repeats = ?, due = ? WHERE id = ?",
            [text, left, following.timestamp(), id],
        )

    def _send(self) -> None:
        """Send what has fired, one cluster at a time."""
        with self._database.transaction() as database:
            some = "SELECT id, queue, package FROM outbox LIMIT 100"
            for id, queue, package in database.execute(some).fetchall():
                enqueue_packages(current.broker(queue), [bytes(package)])
                database.execute("DELETE FROM outbox WHERE id = ?", [id])

    def _pause(self) -> float:
        with self._database.transaction() as database:
            if database.execute("SELECT 1 FROM outbox").fetchone():
                return 0.0
            (due,) = database.execute("SELECT min(due) FROM schedules").fetchone()
        left = LOOK if due is None else due - dt.datetime.now(dt.UTC).timestamp()
        return min(LOOK, max(0.0, left))


# -- entries ---------------------------------------------------------------------------
def _written(entry: Entry) -> str:
    moments = {
        name: value and value.isoformat()
        for name, value in (("next_run", entry.next_run), ("anchor", entry.anchor))
    }
    return json.dumps(asdict(entry) | moments)


def _read(text: str) -> Entry:
    words = json.loads(text)
    for name in ("next_run", "anchor"):
        words[name] = words[name] and dt.datetime.fromisoformat(words[name])
    return Entry(**words)
