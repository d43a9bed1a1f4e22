"""The broker: a queue of Disque, whose jobs come back until they are acknowledged.

Three habits of Disque shape it. The time until a job comes back runs from when it was
queued, not from when it was handed out; so a claim is GETJOB and at once WORKING, which
begins that time anew and tells how long it is. That time is the job's, set by who sent
it. And it is kept to half a second only, either way.
"""

from __future__ import annotations

import logging
import math
import time
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, cast

from qcore.brokers.base import Broker
from qcore.brokers.tools import (
    CALLER_REPLY_SECONDS,
    chunks,
    cluster_reply_seconds,
    pack,
    send_parts,
)
from qcore.envelope import Delivery
from qcore.errors import BrokerError, BrokerUnavailable

from .addresses import read_addresses
from .body import unwrap, wrap
from .census import Counts, count, find
from .errors import code, is_out_of_memory, is_unsure, lacks_copies, translate
from .job import Job, Receipt
from .nodes import Nodes

if TYPE_CHECKING:
    from qcore.brokers.addresses import Address
    from qcore.conf import Conf

    from .connection import Connection

logger = logging.getLogger("qcore.broker")

# Seconds for which Disque keeps a task that nobody finishes; it wants a limit. An id
# has room for 45 days of it, and WORKING is refused after the first half.
KEEP_SECONDS = 30 * 86_400
# Longer leases are cut to this, in seconds, to stay well within that half.
LONGEST_LEASE = 7 * 86_400
# Seconds by which a job may come back too early: measured, and Disque's own bound.
EARLY_SECONDS = 0.5
# Seconds that a lease must still have for its release to be sent: it shall not meet
# the next holder.
RELEASE_SECONDS = 0.25
# Bytes that one call sends at most, unless a single package has more.
PART_BYTES = 4 * 1024 * 1024
# Copies to ask for, in turn, where Disque's own choice cannot be had, and the seconds
# for which no more are asked for then.
FEWER = (2, 1)
FEWER_SECONDS = 30.0
# Seconds between two looks at the nodes that are not in use.
OTHERS_SECONDS = 0.5
# Milliseconds in which copies of a new job must be on other nodes, if there are any.
COPY_MS = 1000


class DisqueBroker(Broker):
    """Queues in Disque 1.0, on one node or several; see the README of qcore-disque."""

    supports_bulk = True
    supports_release = True
    supports_delay = True
    supports_extend = True
    supports_blocking = True
    supports_delete = True
    supports_counts = True
    supports_durable = True
    max_batch = 100

    def __init__(self, conf: Conf, queue: str | None = None) -> None:
        super().__init__(conf, queue)
        self.max_payload = conf.max_payload
        self._addresses = read_addresses(conf.options.get("disque_nodes"))
        self._fewer: Sequence[int] = FEWER
        self._fewer_until = self._others_at = 0.0  # monotonic
        # A second over, for the half by which Disque may be early.
        self._retry = math.ceil(min(self.lease, LONGEST_LEASE)) + 1
        self._brief = Nodes(
            self._addresses, conf.options.get("disque_auth"), CALLER_REPLY_SECONDS
        )

    @cached_property
    def _patient(self) -> Nodes:
        """The nodes for a cluster, which would rather wait than fail."""
        seconds = cluster_reply_seconds(self.lease)
        return Nodes(self._addresses, self.conf.options.get("disque_auth"), seconds)

    # -- sending -----------------------------------------------------------
    def enqueue_many(self, packages: Sequence[bytes], *, delay: float = 0) -> list[str]:
        """Store packages in parts; all of a part or none, where nodes reply."""
        self.check_size(packages)
        parts = pack(packages, count=self.max_batch, size=PART_BYTES)
        return send_parts(parts, partial(self._store, delay=delay))

    def _store(self, packages: Sequence[bytes], delay: float) -> list[str]:
        """Store a part; with fewer copies where no node gets enough of them."""
        found: dict[int, bytes] = {}
        left = list(range(len(packages)))
        for copies in self._copies():
            for _ in range(len(self._brief)):
                commands = [self._add(wrap(packages[at]), delay, copies) for at in left]
                connection, replies = self._brief.talk(*commands)
                answers = dict(zip(left, replies, strict=True))
                found |= {at: r for at, r in answers.items() if type(r) is bytes}
                left = [at for at in left if at not in found]
                if not left:
                    self._note_copies(copies)
                    return [found[at].decode() for at in range(len(packages))]
                if not all(lacks_copies(answers[at]) for at in left):
                    raise self._refusal(connection, answers, found)
                self._brief.leave()  # nothing of it is stored; another node may do it
        raise self._refusal(connection, answers, found)

    def _copies(self) -> Sequence[int | None]:
        """Return how many copies to ask for: first, and where that is refused."""
        if (wanted := self.conf.options.get("disque_replicate")) is not None:
            return (wanted,)
        if time.monotonic() < self._fewer_until:
            return self._fewer
        return (None, *FEWER)

    def _note_copies(self, copies: int | None) -> None:
        """Ask for as few for a while, where no more could be had."""
        asked = self.conf.options.get("disque_replicate")
        if copies in (None, asked) or time.monotonic() < self._fewer_until:
            return
        logger.warning(
            "tasks have %d copies in Disque: some nodes of the cluster cannot be reached."
            " Start these nodes, or run CLUSTER FORGET for nodes that will not come back.",
            copies,
        )
        self._fewer = FEWER[FEWER.index(copies) :]
        self._fewer_until = time.monotonic() + FEWER_SECONDS

    def _refusal(
        self, connection: Connection, answers: dict[int, Any], found: dict[int, bytes]
    ) -> BrokerError:
        """Take back what is stored, and return the error for what a node has answered."""
        kept = self._take_back(list(found.values()))
        bad = next(answer for answer in answers.values() if code(answer))
        error = translate(bad, str(connection.address))
        # of a node that is slow to copy it is not known which jobs it keeps
        error.unsure = kept + sum(map(is_unsure, answers.values()))
        return error

    def _add(
        self, body: bytes, delay: float, copies: int | None = None
    ) -> tuple[Any, ...]:
        """Return the command that stores one job; Disque counts in whole seconds."""
        replicate = ("REPLICATE", copies) if copies else ()
        seconds = math.ceil(delay)
        waiting = ("DELAY", seconds) if seconds else ()
        times = (*waiting, "RETRY", self._retry, "TTL", KEEP_SECONDS + seconds)
        return ("ADDJOB", self.queue, body, COPY_MS, *replicate, *times)

    def _take_back(self, ids: Sequence[bytes]) -> int:
        """Remove what a failed call has stored; return how many may have remained."""
        if not ids:
            return 0
        try:
            self._brief.ask(("ACKJOB", *ids))
        except BrokerError as error:
            logger.warning("%d packages of a failed call remain: %s", len(ids), error)
            return len(ids)
        return 0

    # -- receiving ---------------------------------------------------------
    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        limit = min(limit, self.max_batch)
        if limit < 1:
            return []
        deadline = time.monotonic() + wait
        # Half of the time that a reply may take: Disque looks ten times a second
        # whether a wait is over.
        longest = self._patient.reply_seconds / 2
        if len(self._patient) > 1:
            longest = min(longest, OTHERS_SECONDS)
        while True:
            look = time.monotonic() >= self._others_at
            if look and (jobs := self._look_round(limit)):
                return jobs
            left = max(0.0, deadline - time.monotonic())
            block = int(min(left, longest) * 1000)
            # TIMEOUT 0 would wait for ever.
            waiting = ("TIMEOUT", block) if block else ("NOHANG",)
            connection, (reply,) = self._patient.talk(self._get(limit, *waiting))
            # None, whether the node has sent a null array or a null bulk.
            if found := connection.require(reply):
                return self._hold(connection, [Job.claimed(one) for one in found])
            if time.monotonic() >= deadline:
                # of an empty node; others may have what nobody waits for there
                return [] if look or wait > 0 else self._look_round(limit)

    def _get(self, limit: int, *waiting: Any) -> tuple[Any, ...]:
        words = ("COUNT", limit, "WITHCOUNTERS", "FROM", self.queue)
        return ("GETJOB", *waiting, *words)

    def _look_round(self, limit: int) -> list[Delivery]:
        """Claim what waits on the nodes that are not in use.

        Disque brings tasks from node to node by itself, but asks for them at intervals
        that grow to half a minute while a queue is empty; and nodes that have not met
        bring nothing.
        """
        self._others_at = time.monotonic() + OTHERS_SECONDS
        for connection in self._patient.others():
            try:
                (reply,) = connection.talk([self._get(limit, "NOHANG")])
            except BrokerUnavailable as error:
                logger.debug("%s The node is skipped.", error)
                continue
            if reply and not code(reply):
                return self._hold(connection, [Job.claimed(one) for one in reply])
        return []

    def _hold(self, connection: Connection, jobs: Sequence[Job]) -> list[Delivery]:
        """Begin the leases of jobs that were just handed out; pass over what is gone."""
        asked = time.monotonic()
        replies = connection.talk([("WORKING", job.id) for job in jobs])
        held = []
        for job, reply in zip(jobs, replies, strict=True):
            if code(reply) == "NOJOB":
                continue  # deleted, or acknowledged by who held it before
            if code(reply) == "TOOLATE":
                end = self._rest(connection, job)
            else:
                end = asked + self._span(connection.require(reply))
            receipt = Receipt(job.id, job.returns, connection.address)
            held.append(Delivery(receipt, job.package, job.attempt, end))
        return held

    def _span(self, retry: int) -> float:
        """Return the seconds for which a job surely stays away; 0 means for ever."""
        return min(self.lease, max(0.0, retry - EARLY_SECONDS)) if retry else self.lease

    def _rest(self, connection: Connection, job: Job) -> float:
        """Return the end of a lease that can no longer be prolonged."""
        asked = time.monotonic()
        (reply,) = connection.ask(("SHOW", job.id))
        requeue = Job.shown(reply).requeue if reply else 0.0
        return asked + min(self.lease, math.inf if requeue is None else requeue)

    def acknowledge_many(self, receipts: Sequence[Hashable]) -> None:
        for connection, group in self._at_home(receipts):
            connection.ask(("ACKJOB", *(receipt.id for receipt in group)))

    def release(self, receipts: Sequence[Hashable], *, delay: float = 0) -> None:
        """Give deliveries back, to the front; with a delay, to the end as new jobs."""
        for connection, group in self._at_home(receipts):
            replies = connection.ask(*(("SHOW", receipt.id) for receipt in group))
            jobs = [Job.shown(reply) if reply else None for reply in replies]
            held = [
                job
                for job, receipt in zip(jobs, group, strict=True)
                if job is not None
                and job.is_held_by(receipt)
                and (job.requeue is None or job.requeue > RELEASE_SECONDS)
            ]
            if held and delay > 0:
                self._replace(connection, held, delay)
            elif held:
                self._give_back(connection, held)

    def _give_back(self, connection: Connection, jobs: Sequence[Job]) -> None:
        """Give deliveries back; a node without memory keeps them until their lease ends."""
        (reply,) = connection.talk([("NACK", *(job.id for job in jobs))])
        error = translate(reply, str(connection.address)) if code(reply) else None
        if error is not None and is_out_of_memory(reply):
            logger.warning(
                "%s %d tasks come back when their lease ends.", error, len(jobs)
            )
        else:
            connection.require(reply)

    def _replace(
        self, connection: Connection, jobs: Sequence[Job], delay: float
    ) -> None:
        """Store delayed copies, then end the originals: in this order none is lost."""
        bodies = [wrap(unwrap(job.body)[0], job.attempt) for job in jobs]
        replies = connection.talk([self._add(body, delay) for body in bodies])
        stored = [
            job.id
            for job, reply in zip(jobs, replies, strict=True)
            if type(reply) is bytes
        ]
        if stored:
            connection.ask(("ACKJOB", *stored))
        for reply in replies:
            connection.require(reply)

    def extend(self, receipts: Sequence[Hashable]) -> set[Hashable]:
        lost: set[Hashable] = set()
        for connection, group in self._at_home(receipts):
            # What SHOW tells of the moment after WORKING was so before it as well: a
            # job that has gone back to its queue counts one more for ever.
            commands = [
                command
                for receipt in group
                for command in (("WORKING", receipt.id), ("SHOW", receipt.id))
            ]
            replies = connection.talk(commands)
            answers = zip(group, replies[::2], replies[1::2], strict=True)
            for receipt, working, shown in answers:
                if code(working) in ("NOJOB", "TOOLATE"):
                    lost.add(receipt)
                    continue
                connection.require(working)
                reply = connection.require(shown)
                if reply is None or not Job.shown(reply).is_held_by(receipt):
                    lost.add(receipt)
        return lost

    def _at_home(
        self, receipts: Sequence[Hashable]
    ) -> Iterator[tuple[Connection, Sequence[Receipt]]]:
        """Return receipts by the node that has handed out their jobs, in batches."""
        groups: dict[Address, list[Receipt]] = defaultdict(list)
        for receipt in cast("Sequence[Receipt]", receipts):
            groups[receipt.address].append(receipt)
        for address, group in groups.items():
            for chunk in chunks(group, self.max_batch):
                yield self._patient.at(address), chunk

    # -- looking after -------------------------------------------------------
    def delete(self, id: str) -> bool:
        """Remove a waiting package; one given back with a delay has got another id.

        Acknowledged is what other nodes of a cluster learn, too; DELJOB is not.
        """
        for connection in self._brief.each():
            (reply,) = connection.talk([("ACKJOB", id)])
            if code(reply) == "BADID":
                return False
            if connection.require(reply):
                return True
        return False

    def queue_size(self) -> int:
        return self._count().waiting

    def lock_size(self) -> int:
        return self._count().claimed

    def _count(self) -> Counts:
        return count(self._brief.each(), self.queue, copies=len(self._brief) > 1)

    def purge_queue(self) -> None:
        for connection in self._brief.each():
            for chunk in chunks(find(connection, self.queue), self.max_batch):
                connection.ask(("ACKJOB", *chunk))

    def ping(self) -> bool:
        self._brief.ask(("PING",))
        return True

    def info(self) -> str:
        (text,) = self._brief.ask(("INFO",))
        lines = text.decode("utf-8", "replace").splitlines()
        said = dict(line.split(":", 1) for line in lines if ":" in line)
        if "disque_version" in said:
            return f"Disque {said['disque_version']}"
        return f"Disque module in Redis {said.get('redis_version', '(unknown)')}"

    def info_name(self) -> str:
        return "Disque (Q_CLUSTER['max_payload'])"

    def close(self) -> None:
        self._brief.close()
        # It is made on first use; asking for it here would make it.
        if "_patient" in self.__dict__:
            self._patient.close()
