"""Packages: tasks as signed bytes.

A package is ``b"qc"``, a version byte, a flags byte, a 32-byte MAC and the
task in MessagePack. The MAC (HMAC-SHA256) covers everything else, and so the
queue and the content type that stand inside the task. Its key is derived from
the project's secret and its name, so neither another project with the same
secret nor another use of the secret can make one. Nothing is decoded before
the MAC has been verified, and nothing over the limit of size is hashed.

Every version has the head and the MAC where this one has them, made with the same key.
So a package of a later release proves first that it is genuine, and only then is
taken for one: anybody can write a version byte.
"""

from __future__ import annotations

import hashlib
import hmac
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from .envelope import Task
from .errors import BadPackage, BadSignature, ConfigError, EnqueueError, NewerPackage

if TYPE_CHECKING:
    from .conf import Conf

MAGIC = b"qc"
VERSION = 1
COMPRESSED = 0x01  # a bit of the flags byte
_HEAD = 4  # magic, version, flags
_MAC = 32
_START = _HEAD + _MAC
_BLOCK = 64  # bytes that SHA-256 reads at a time

#: Bytes that a package may have at least, whatever ``max_payload`` says: a cluster reads
#: what was sent where the setting is larger than its own.
LEAST_LIMIT = 16 * 1024 * 1024
#: Bytes of a package besides its arguments, for which ``max_payload`` is the limit.
_AROUND = 1024 * 1024

#: The version of packages that a cluster without the ledger must not run: release 2.0
#: gives them back, and does not take them for plain ones.
BOUND = 2
#: Fields of a task that every package has. The others are left out where they say
#: nothing, and so a plain task has the bytes that release 2.0 gave it.
PLAIN_FIELDS = Task.__struct_fields__.index("gen")

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Task).decode

#: MessagePack of what a plain task says in the other fields: nothing, as one byte each.
_NOTHING = _encode(
    [field.default for field in msgspec.structs.fields(Task)[PLAIN_FIELDS:]]
)[1:]
#: The beginning of an array of 16 to 65,535 elements: a mark, and two bytes of length.
_ARRAY = b"\xdc"
_PLAIN_ARRAY = _ARRAY + PLAIN_FIELDS.to_bytes(2, "big")
#: What of the MessagePack of a plain task follows that, without the rest.
_PLAIN = slice(len(_PLAIN_ARRAY), -len(_NOTHING))


def derive_key(secret: str, site: str) -> bytes:
    """Return the signing key of a project: 32 bytes that depend on secret and site."""
    purpose = b"qcore package v1\0" + site.encode()
    return hmac.digest(secret.encode(), purpose, hashlib.sha256)


def size_limit(max_payload: int) -> int:
    """Return the bytes that a package of a project may have, as sent and inflated.

    Args:
        max_payload: the setting of that name: bytes that the arguments may have.
    """
    return max(LEAST_LIMIT, max_payload + _AROUND)


class Mac:
    """HMAC-SHA256 with one key, of which the key is read once, and not for each message.

    By RFC 2104: one hash within another, each of which begins with a block made of the
    key. Copies of the two begun hashes take half as long as a copy of ``hmac.HMAC``, and
    0.4 of the time of ``hmac.digest``; the bytes are the same.

    Args:
        key: at most 64 bytes, the block of SHA-256; ``derive_key`` makes 32.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        if len(key) > _BLOCK:
            raise ValueError(f"a key has at most {_BLOCK} bytes, got {len(key)}")
        block = key.ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def of(self, message: bytes) -> bytes:
        """Return the MAC of a message: 32 bytes."""
        inner = self._inner.copy()
        inner.update(message)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()


def fingerprint(key: bytes) -> str:
    """Return what tells a key from others and does not tell the key: 12 hex digits.

    A MAC of a text of its own, so that it cannot be mistaken for that of a package.
    """
    return hmac.digest(key, b"qcore fingerprint v1", hashlib.sha256)[:6].hex()


class Signer:
    """Turns tasks into packages and back.

    Args:
        secrets: the first signs; all of them are accepted, which is how a
            secret is rotated without losing what is queued.
        site: the project's name (``Q_CLUSTER['name']``).
        compress: whether bodies are deflated where that makes them smaller.
        max_size: bytes that a package may have, as it comes and once inflated; see
            ``size_limit``.
    """

    def __init__(
        self,
        secrets: Sequence[str],
        site: str,
        *,
        compress: bool = False,
        max_size: int = LEAST_LIMIT,
    ) -> None:
        self._keys = [derive_key(secret, site) for secret in secrets]
        self._macs = [Mac(key) for key in self._keys]
        self._compress = compress
        self._max_size = max_size

    @property
    def fingerprints(self) -> list[str]:
        """The fingerprints of the keys that are accepted; the first one signs."""
        return [fingerprint(key) for key in self._keys]

    def sign(self, task: Task) -> bytes:
        """Return the package of a task.

        Raises:
            EnqueueError: no cluster would take it, for its size.
        """
        payload = _encode(task)
        head = b"qc\x01\x00"
        plain = not (task.relayed or task.gen or task.needs or task.priority)
        if plain and (
            task.expires is None
            and task.headers is None
            and not (task.links and task.passes_result)
            and not (task.iter_count and task.is_awaited)
        ):
            # an array may end early: a field that is missing has its default
            payload = _PLAIN_ARRAY + payload[_PLAIN]
        elif task.is_bound:
            head = b"qc\x02\x00"
        if len(payload) > self._max_size - _START:
            raise EnqueueError(
                f"cannot send {task.func}: its package has {len(payload):,} bytes, and"
                f" clusters read up to {self._max_size:,}. Store the data and pass its"
                " key, or raise Q_CLUSTER['max_payload']."
            )
        # what is larger could not be inflated where it is read
        if self._compress and len(payload) <= self._max_size:
            smaller = zlib.compress(payload, 6)
            if len(smaller) < len(payload):
                payload, head = smaller, head[:3] + b"\x01"
        return head + self._macs[0].of(head + payload) + payload

    def verify(self, package: bytes, queue: str | None = None) -> Task:
        """Return the task of a package.

        Args:
            package: bytes from a queue, by anybody.
            queue: where they came from; None skips that comparison.

        Raises:
            BadSignature: signed with another key, for another queue, or changed.
            NewerPackage: written by a later release of qcore, with our key.
            BadPackage: not a package at all, or too large.
        """
        # the call only where it says what is wrong: every task of a cluster comes by
        if not _START < len(package) <= self._max_size or package[:2] != MAGIC:
            self._require_package(package)
        payload = package[_START:]
        message, mac = package[:_HEAD] + payload, package[_HEAD:_START]
        if not hmac.compare_digest(self._macs[0].of(message), mac):
            self._check_older(message, mac)
        if package[2] > BOUND:
            _require_known(package)
        task = self._decode(package[3], payload)
        if queue is not None and task.queue != queue:
            raise BadSignature(
                f"the package was signed for queue {task.queue!r} and came from"
                f" {queue!r}; it was moved or copied by hand"
            )
        return task

    def key_of(self, package: bytes) -> int | None:
        """Return which of our keys has signed a package: 0 is the first; None: none."""
        message, mac = package[:_HEAD] + package[_START:], package[_HEAD:_START]
        for place, own in enumerate(self._macs):
            if hmac.compare_digest(own.of(message), mac):
                return place
        return None

    def read(self, package: bytes) -> Task:
        """Return what a package says, whoever has signed it.

        Nothing of it may be run or believed: it is for a person who decides whether it
        is signed anew. The arguments stay bytes.

        Raises:
            NewerPackage: written by a later release of qcore.
            BadPackage: not a package at all, or too large.
        """
        self._require_package(package)
        _require_known(package)
        return self._decode(package[3], package[_START:])

    def _require_package(self, package: bytes) -> None:
        if len(package) > self._max_size:
            raise BadPackage(
                f"{len(package):,} bytes, and this cluster reads up to"
                f" {self._max_size:,}. Is Q_CLUSTER['max_payload'] larger where it was"
                " sent?"
            )
        if package[:2] != MAGIC or len(package) <= _START:
            raise BadPackage(f"{len(package)} bytes that are not a qcore package")

    def _decode(self, flags: int, payload: bytes) -> Task:
        if flags & COMPRESSED:
            payload = self._inflate(payload)
        try:
            return _decode(payload)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise BadPackage(f"it holds no task: {error}") from error

    def _check_older(self, message: bytes, mac: bytes) -> None:
        """Refuse a message that none of the keys before the first one has signed."""
        if any(hmac.compare_digest(own.of(message), mac) for own in self._macs[1:]):
            return
        raise BadSignature(
            "the package was signed with an unknown key, or changed. Is SECRET_KEY the"
            " same in web and cluster, and Q_CLUSTER['name'] too? Old keys go into"
            " SECRET_KEY_FALLBACKS. Projects that share a broker need different names."
        )

    def _inflate(self, payload: bytes) -> bytes:
        inflater = zlib.decompressobj()
        try:
            inflated = inflater.decompress(payload, self._max_size)
        except zlib.error as error:
            raise BadPackage(f"it cannot be inflated: {error}") from error
        if inflater.unconsumed_tail or not inflater.eof:
            raise BadPackage(f"it inflates to more than {self._max_size:,} bytes")
        return inflated


def _require_known(package: bytes) -> None:
    if package[2] > BOUND:
        raise NewerPackage(
            f"the package has version {package[2]}, this qcore reads up to {BOUND}."
            " Upgrade this cluster."
        )


def peek(package: bytes) -> Task:
    """Return the task of a package that has already been verified, e.g. in a worker."""
    payload = package[_START:]
    return _decode(zlib.decompress(payload) if package[3] & COMPRESSED else payload)


def signer_of(conf: Conf) -> Signer:
    """Return the signer of a project; ``name`` is the same on all of its queues.

    Raises:
        ConfigError: there is no secret to sign with.
    """
    if not conf.signing_secrets:
        raise ConfigError(
            "tasks are signed and there is no key: SECRET_KEY is empty. Set it in"
            " Django's settings, or Q_CLUSTER['signing_keys']."
        )
    return Signer(
        conf.signing_secrets,
        conf.name,
        compress=conf.compress,
        max_size=size_limit(conf.max_payload),
    )
