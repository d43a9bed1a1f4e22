"""The commands that clients live on: adding, claiming, ending and postponing jobs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .jobs import Job, check_ids
from .store import clock
from .wire import NULL_ARRAY, NULL_BULK, Null, Refusal, Reply, Simple
from .words import SYNTAX, Words, number

if TYPE_CHECKING:
    from .node import Client, Node

DEFAULT_TTL = 86_400  # seconds
DEFAULT_RETRY = 300  # seconds

LEAVING = "LEAVING This node is leaving the cluster, please connect to a different one"


def addjob(node: Node, client: Client, words: list[bytes]) -> Reply:
    """Store a job. A lone node copies nothing, so ASYNC and the timeout do nothing."""
    queue, body, timeout, *options = words
    number(timeout, "ERR timeout is not an integer or out of range", None)
    number(timeout, "ERR timeout is negative")
    given = Words(options)
    replicate = min(3, node.cluster_size)
    delay, retry, ttl, maxlen = 0, DEFAULT_RETRY, DEFAULT_TTL, None
    for word in given:
        if word == "REPLICATE":
            replicate = given.number("ERR REPLICATE must be between 1 and 65535", 1)
        elif word == "DELAY":
            delay = given.number("ERR DELAY time must be a non negative number")
        elif word == "RETRY":
            retry = given.number("ERR RETRY time must be a non negative number")
        elif word == "TTL":
            ttl = given.number("ERR TTL must be a number > 0", 1)
        elif word == "MAXLEN":
            maxlen = given.number("ERR MAXLEN must be a positive number", 1)
        elif word != "ASYNC":
            raise Refusal(SYNTAX)
    if delay >= ttl:
        raise Refusal(
            "ERR The specified DELAY is greater than TTL. Job refused since would never"
            " be delivered"
        )
    _refuse_job(node, queue, replicate, maxlen)
    id = node.store.add(queue, body, delay=delay, retry=retry, ttl=ttl).id
    return id if node.settings.is_module else Simple(id.decode())


def _refuse_job(node: Node, queue: bytes, replicate: int, maxlen: int | None) -> None:
    place = node.store.queues.get(queue)
    refuse_when_full(node)
    if place and place.paused_in:
        raise Refusal("PAUSED Queue paused in input, try later")
    if place and maxlen is not None and place.length >= maxlen:
        raise Refusal("MAXLEN Queue is already longer than the specified MAXLEN count")
    # a node that leaves keeps no copy itself
    if replicate > node.reachable - node.is_leaving:
        raise Refusal(
            "NOREPL Not enough reachable nodes for the requested replication level"
        )


def refuse_when_full(node: Node) -> None:
    if node.max_memory and node.store.used_memory > node.max_memory:
        raise Refusal("OOM command not allowed when used memory > 'maxmemory'.")


async def getjob(node: Node, client: Client, words: list[bytes]) -> Reply:
    """Hand out jobs; wait for one when there is none."""
    given = Words(words)
    block, milliseconds, count, counters = True, 0, 1, False
    for word in given:
        if word == "NOHANG":
            block = False
        elif word == "TIMEOUT":
            text = given.text()
            number(text, "ERR timeout is not an integer or out of range", None)
            milliseconds = number(text, "ERR timeout is negative")
        elif word == "COUNT":
            count = given.number("ERR COUNT must be a number greater than zero", 1)
        elif word == "WITHCOUNTERS":
            counters = True
        elif word == "FROM":
            break
        else:
            raise Refusal(SYNTAX)
    queues = given.rest()
    if not queues:
        raise Refusal(SYNTAX)
    jobs = node.store.claim(queues, count)
    if not jobs and block:
        if node.is_leaving:
            raise Refusal(LEAVING)
        jobs = await _wait(node, client, queues, count, milliseconds)
    as_words = node.settings.is_module
    nothing = NULL_BULK if as_words else NULL_ARRAY
    told = [job.deliver(counters=counters, as_words=as_words) for job in jobs]
    return told or nothing


async def _wait(
    node: Node, client: Client, queues: list[bytes], count: int, milliseconds: int
) -> list[Job]:
    """Wait as long as asked, judged ten times a second; 0 is for ever."""
    deadline = clock() + milliseconds
    waiter = client.waiter = node.store.wait(queues, count)
    node.blocked += 1
    try:
        while not client.is_gone and not (milliseconds and clock() >= deadline):
            done, _ = await asyncio.wait({waiter.jobs}, timeout=0.1)
            if done:
                return waiter.jobs.result()
        return []
    finally:
        node.blocked -= 1
        client.waiter = None
        node.store.forget(waiter)


def ackjob(node: Node, client: Client, words: list[bytes]) -> Reply:
    check_ids(words)
    return sum(node.store.remove(id) for id in words)


def nack(node: Node, client: Client, words: list[bytes]) -> Reply:
    refuse_when_full(node)
    check_ids(words)
    return sum(node.store.give_back(id, nack=True) for id in words)


def enqueue(node: Node, client: Client, words: list[bytes]) -> Reply:
    check_ids(words)
    return sum(node.store.give_back(id, nack=False) for id in words)


def dequeue(node: Node, client: Client, words: list[bytes]) -> Reply:
    check_ids(words)
    return sum(node.store.take_out(id) for id in words)


def working(node: Node, client: Client, words: list[bytes]) -> Reply:
    check_ids(words)
    return node.store.postpone(words[0])


def show(node: Node, client: Client, words: list[bytes]) -> Reply | Null:
    check_ids(words)
    job = node.store.jobs.get(words[0])
    return NULL_BULK if job is None else job.show(clock(), node.id)
