"""The commands of those who look after queues."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .store import clock
from .wire import NULL_ARRAY, Refusal, Reply, Simple
from .words import SYNTAX, Words, number

if TYPE_CHECKING:
    from .node import Client, Node

SCAN_COUNT = 100  # jobs looked at in one call, unless COUNT says it
STATES = {"WAIT-REPL", "ACTIVE", "QUEUED", "ACKED"}


def qlen(node: Node, client: Client, words: list[bytes]) -> Reply:
    queue = node.store.queues.get(words[0])
    return queue.length if queue else 0


def qpeek(node: Node, client: Client, words: list[bytes]) -> Reply:
    count = number(words[1], "ERR value is not an integer or out of range", None)
    queue = node.store.queues.get(words[0])
    jobs = queue.peek(count) if queue else []
    return [job.deliver(counters=False, as_words=False) for job in jobs]


def qstat(node: Node, client: Client, words: list[bytes]) -> Reply:
    queue = node.store.queues.get(words[0])
    if queue is None:
        return NULL_ARRAY
    now = time.monotonic()
    fields: dict[str, Reply] = {
        "name": queue.name,
        "len": queue.length,
        "age": int(now - queue.born),
        "idle": int(now - queue.used),
        "blocked": len(queue.waiters),
        "import-from": [],
        "import-rate": 0,
        "jobs-in": queue.jobs_in,
        "jobs-out": queue.jobs_out,
        "pause": queue.pause.encode(),
    }
    return [word for pair in fields.items() for word in (pair[0].encode(), pair[1])]


def qscan(node: Node, client: Client, words: list[bytes]) -> Reply:
    """Return the names of all queues at once."""
    given = Words(words)
    least, most = 0, None
    for word in given:
        if word == "MINLEN":
            least = given.number(SYNTAX)
        elif word == "MAXLEN":
            most = given.number(SYNTAX)
        elif word in ("COUNT", "IMPORTRATE"):
            given.number(SYNTAX)
        elif word != "BUSYLOOP" and not word.isdigit():
            raise Refusal(SYNTAX)
    names = [
        queue.name
        for queue in node.store.queues.values()
        if queue.length >= least and (most is None or queue.length <= most)
    ]
    return [b"0", names]


def jscan(node: Node, client: Client, words: list[bytes]) -> Reply:
    """Return some jobs; the cursor is the serial number of the last one looked at."""
    given = Words(words)
    cursor, count, queue, states, in_full = 0, SCAN_COUNT, None, set[str](), False
    for word in given:
        if word == "COUNT":
            count = given.number("ERR COUNT must be a number greater than zero", 1)
        elif word == "BUSYLOOP":
            count = len(node.store.jobs) + 1
        elif word == "QUEUE":
            queue = given.text()
        elif word == "STATE":
            states.add(given.text().decode("latin-1").upper())
        elif word == "REPLY":
            kind = given.text().decode("latin-1").upper()
            if kind not in ("ALL", "ID"):
                raise Refusal("ERR Invalid REPLY type, try ID or ALL")
            in_full = kind == "ALL"
        elif word.isdigit():
            cursor = int(word)
        else:
            raise Refusal(SYNTAX)
    if states - STATES:
        raise Refusal("ERR Invalid job state name")
    later = [job for job in node.store.jobs.values() if job.serial > cursor]
    found = [
        job
        for job in later[:count]
        if (queue is None or job.queue == queue)
        and (not states or job.state.upper() in states)
    ]
    cursor = later[count - 1].serial if len(later) > count else 0
    now = clock()
    told: list[Reply] = [
        job.show(now, node.id) if in_full else Simple(job.id.decode()) for job in found
    ]
    return [b"%d" % cursor, told]


def pause(node: Node, client: Client, words: list[bytes]) -> Reply:
    queue = node.store.queue(words[0])
    for word in Words(words[1:]):
        if word in ("IN", "OUT", "ALL", "NONE"):
            queue.paused_in = word in ("IN", "ALL")
            queue.paused_out = word in ("OUT", "ALL")
        elif word not in ("STATE", "BCAST"):
            raise Refusal(SYNTAX)
    node.store.serve(queue.name)
    return Simple(queue.pause)
