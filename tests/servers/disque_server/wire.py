"""RESP2, version 2 of the protocol of Redis: commands in, replies out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

LONGEST_BULK = 512 * 1024 * 1024  # bytes, as Redis has it


class ProtocolError(Exception):
    """The client does not speak the protocol; the connection is closed."""


class Refusal(Exception):
    """An error reply; its first word is the code: ``NOJOB Job not known``."""


class Simple(str):
    """A reply that is one line, such as ``+OK``."""

    __slots__ = ()


class Null:
    """A reply that is nothing; RESP2 writes it in two ways."""

    def __init__(self, code: bytes) -> None:
        self.code = code


NULL_ARRAY = Null(b"*-1\r\n")
NULL_BULK = Null(b"$-1\r\n")
OK = Simple("OK")

Reply = int | bytes | Simple | Null | Sequence["Reply"]


async def read_command(reader: asyncio.StreamReader) -> list[bytes] | None:
    """Return the words of the next command; None at the end of the stream."""
    while True:
        line = await reader.readline()
        if not line.endswith(b"\r\n"):
            return None
        if not line.startswith(b"*"):
            words = line.split()  # typed by hand
        else:
            words = [await _read_bulk(reader) for _ in range(_number(line))]
        if words:
            return words


async def _read_bulk(reader: asyncio.StreamReader) -> bytes:
    line = await reader.readline()
    if not line.startswith(b"$"):
        raise ProtocolError(f"expected '$', got '{line[:1].decode('latin-1')}'")
    length = _number(line)
    if not 0 <= length <= LONGEST_BULK:
        raise ProtocolError("invalid bulk length")
    return (await reader.readexactly(length + 2))[:-2]


def _number(line: bytes) -> int:
    try:
        return int(line[1:])
    except ValueError:
        raise ProtocolError("invalid multibulk length") from None


def encode(reply: Reply) -> bytes:
    """Return the bytes of a reply."""
    if isinstance(reply, Null):
        return reply.code
    if isinstance(reply, Simple):
        return b"+%s\r\n" % reply.encode()
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if isinstance(reply, bytes):
        return b"$%d\r\n%s\r\n" % (len(reply), reply)
    assert not isinstance(reply, str), f"{reply!r} is neither Simple nor bytes"
    return b"*%d\r\n" % len(reply) + b"".join(map(encode, reply))


def encode_error(text: str) -> bytes:
    """Return the bytes of an error reply."""
    return b"-%s\r\n" % text.encode()
