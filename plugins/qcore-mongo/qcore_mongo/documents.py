"""The documents of a queue: their fields, and the filters and updates over them.

======== ======= ==================================================================
_id      id      of the package; ascends in the order in which a process sent
package  binary
attempt  int     how often it was claimed
visible  int     from when it may be claimed, in milliseconds since the epoch
due      int     `visible` as it was before the first claim: its place in the queue
claim    id      of the claim that holds it; null while it waits
======== ======= ==================================================================

Every time is of the server's clock: filters and updates are pipelines that ask for
``$$NOW``, so that no clock of a client has a say in who holds what.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import bson
from bson import ObjectId

Document = dict[str, Any]
Pipeline = list[Document]


class ForeignId(NamedTuple):
    """The id of a document that somebody else has inserted, which may be of any type."""

    bson: bytes


Key = ObjectId | ForeignId
#: What identifies a claim: the id of the package, and the attempt that it counted.
Receipt = tuple[Key, int]

# A constant in the eyes of the server, so that a comparison with it uses the index.
NOW: Document = {"$toLong": "$$NOW"}
#: Oldest first; the index that keeps a claim cheap has the same order.
ORDER = [("visible", 1), ("_id", 1)]
VISIBLE: Document = {"$expr": {"$lte": ["$visible", NOW]}}
HIDDEN: Document = {"$expr": {"$gt": ["$visible", NOW]}}
HELD: Document = {"claim": {"$ne": None}, **HIDDEN}
UNHELD: Document = {"$or": [{"claim": None}, VISIBLE]}
#: Stages that give the milliseconds for which the oldest one has been visible.
OLDEST: Pipeline = [
    {"$match": VISIBLE},
    {"$sort": dict(ORDER)},
    {"$limit": 1},
    {"$project": {"age": {"$subtract": [NOW, "$visible"]}}},
]
#: What a claim reads.
DELIVERED = {"package": 1, "attempt": 1}
#: What is shown of somebody else's document: all that no claim changes.
FOREIGN = {"visible": 0, "due": 0, "attempt": 0, "claim": 0}
#: Types of BSON that are greater than every number: a document whose `visible` is one
#: would never be claimed, and never be seen.
BEYOND_NUMBERS = [
    "string", "object", "array", "binData", "objectId", "bool", "date", "timestamp",
    "regex",
]  # fmt: skip
NEVER_VISIBLE: Document = {"visible": {"$type": BEYOND_NUMBERS}}
SHOWN: Pipeline = [{"$set": {"visible": NOW, "due": NOW}}]

# Collections of ours have names that no application uses by chance.
QUEUE_PREFIX = "qcore.queue."
STATS = "qcore.stats"
# Bytes of "database.collection" that MongoDB takes, from 4.4 on.
NAMESPACE_BYTES = 255
# 317 years: longer leases do not end, and a server adds these without an overflow.
LONGEST_MS = 10**13

_ESCAPED = re.compile(r"[%$\0]|(?:^|(?<=\.))\.|\.$")


def collection_name(queue: str) -> str:
    """Return the name of a queue's collection; what MongoDB forbids becomes ``%24``."""
    name = _ESCAPED.sub(lambda found: f"%{ord(found[0]):02X}", queue)
    return f"{QUEUE_PREFIX}{name}"


def key(id: object) -> Key:
    """Return an id as a key of a dictionary; ids of ours are ones already."""
    return id if type(id) is ObjectId else ForeignId(bson.encode({"": id}))


def id_of(key: Key) -> Any:
    """Return the id that a key stands for."""
    return key if isinstance(key, ObjectId) else bson.decode(key.bson)[""]


def milliseconds(seconds: float) -> int:
    """Return a duration as the server reckons it."""
    return round(min(max(0.0, seconds * 1000), LONGEST_MS))


def stored(package: bytes, delay: float) -> Pipeline:
    """Return the update that makes the document of a new package."""
    due: Document = {"$add": [NOW, milliseconds(delay)]}
    fields = {"package": package, "attempt": 0, "claim": None}
    return [{"$set": {**fields, "visible": due, "due": due}}]


def claimed(claim: ObjectId, lease: float) -> Pipeline:
    """Return the update of those that a claim takes."""
    # of a document that somebody else has written it may be missing, or no number
    whole = {"$in": [{"$type": "$attempt"}, ["int", "long"]]}
    known = {"$and": [whole, {"$gte": ["$attempt", 0]}, {"$lt": ["$attempt", 2**31]}]}
    attempt = {"$add": [{"$cond": [known, "$attempt", 0]}, 1]}
    return [{"$set": {"claim": claim, "attempt": attempt, **_hidden_for(lease)}}]


def extended(lease: float) -> Pipeline:
    """Return the update of those whose lease begins anew."""
    return [{"$set": _hidden_for(lease)}]


def released(delay: float) -> Pipeline:
    """Return the update of those given back: to their old place, unless delayed."""
    if delay > 0:
        return [{"$set": {"claim": None, **_hidden_for(delay)}}]
    return [{"$set": {"claim": None, "visible": {"$ifNull": ["$due", NOW]}}}]


def among(keys: Sequence[Key]) -> Document:
    """Return the filter for documents by their ids."""
    return {"_id": {"$in": [id_of(one) for one in keys]}}


def held(keys: Sequence[Key], attempt: int) -> Document:
    """Return the filter for those of the ids that this attempt still holds."""
    return {**among(keys), "attempt": attempt, **HELD}


def _hidden_for(seconds: float) -> Document:
    return {"visible": {"$add": [NOW, milliseconds(seconds)]}}
