"""Serializers turn arguments and results into bytes, and back.

``json`` is the default: readable text in which values that JSON does not know carry
a type tag, ``{"$": "date", "v": "2026-02-28"}``. What comes out equals what went in,
type included, for every documented type; anything else is refused with the path to
it. ``pickle`` is the opt-in for arbitrary objects.

The types of ``json`` are None, bool, int, float, str, bytes, bytearray, list, tuple,
set, frozenset, dict (with keys of any hashable type of this list), datetime, date,
time, timedelta, Decimal and UUID. A value of a subclass comes back as a value of the base:
a SafeString as str, a named tuple as tuple, a member of TextChoices or IntegerChoices as str
or int. A lazy text is written in the language of the sender. A ``ZoneInfo`` is kept by its
key, any other tzinfo as its offset from UTC.
"""

from __future__ import annotations

import pickle
import pprint
from typing import Protocol

import msgspec

from ..errors import BadPackage, ConfigError, SerializeError, did_you_mean
from ..masking import mask_arguments
from .jsontags import MAX_DEPTH, UNREADABLE, tag, tag_surrogates, untag
from .refusals import Refused, TooDeep, refusal

__all__ = [
    "JsonSerializer",
    "PickleSerializer",
    "Serializer",
    "describe",
    "get_serializer",
]

# A dict of the user that has the key "$" is sent as pairs, and quotes inside a string
# are escaped: so these bytes occur if, and only if, there is a tag to undo.
MARKER = b'{"$":'

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Serializer(Protocol):
    """The interface of a serializer; ``name`` is its content type in an envelope."""

    name: str

    def dumps(self, value: object) -> bytes:
        """Return ``value`` as bytes, or raise SerializeError."""

    def loads(self, data: bytes) -> object:
        """Return the value in ``data``, or raise BadPackage; nothing else."""


class JsonSerializer:
    """Writes UTF-8 JSON with type tags; reading it never runs code.

    The same value always gives the same bytes (the members of a set are sorted).
    """

    name = "json"

    def dumps(self, value: object) -> bytes:
        """Return ``value`` as JSON, or raise SerializeError with path and hint."""
        try:
            tree = tag(value)
            try:
                return _encode(tree)
            except UnicodeEncodeError:
                return _encode(tag_surrogates(tree))
        except Refused as refused:
            raise refusal(value, refused) from None
        except (TooDeep, RecursionError):
            raise SerializeError(
                f"the value is more than {MAX_DEPTH} levels deep, or holds itself",
                hint="send a flat list, or an id by which the task finds the data",
            ) from None

    def loads(self, data: bytes) -> object:
        """Return the value in ``data``, or raise BadPackage."""
        # Tags are looked for in the bytes first. For 300 small dicts the search costs
        # a sixth of the decoding, a walk over what was decoded four times as much.
        try:
            tree = _decode(data)
            return untag(tree) if MARKER in data else tree
        except RecursionError:
            raise BadPackage("json payload is nested too deeply") from None
        except UNREADABLE as error:
            raise BadPackage(f"json payload cannot be read: {error}") from error


class PickleSerializer:
    """Writes pickles: any object that pickle takes, at a price.

    Whoever can sign a package can then run any code in the workers, so the secret key
    guards the machine and not just the data. A pickle also ties queue and results to
    the classes of the day: renaming one makes what is stored unreadable. Choose it
    with ``Q_CLUSTER = {"serializer": "pickle"}``.
    """

    name = "pickle"

    def dumps(self, value: object) -> bytes:
        """Return ``value`` as a pickle, or raise SerializeError."""
        try:
            # Protocol 5 is the newest that every supported Python reads.
            return pickle.dumps(value, protocol=5)
        except Exception as error:  # __reduce__ of any class may raise anything
            reason = f"{type(value).__name__} cannot be pickled: {error}"
            raise SerializeError(reason) from error

    def loads(self, data: bytes) -> object:
        """Return the object in ``data``, or raise BadPackage. Runs what is in it."""
        try:
            return pickle.loads(data)
        except Exception as error:  # so may __setstate__
            reason = f"{type(error).__name__}: {error}"
            raise BadPackage(f"pickle payload cannot be read: {reason}") from error


_SERIALIZERS: dict[str, Serializer] = {
    "json": JsonSerializer(),
    "pickle": PickleSerializer(),
}


def get_serializer(name: str) -> Serializer:
    """Return the serializer called ``name``, or raise ConfigError."""
    try:
        return _SERIALIZERS[name]
    except (KeyError, TypeError):
        near = did_you_mean(str(name), _SERIALIZERS)
        known = ", ".join(_SERIALIZERS)
        raise ConfigError(
            f"Q_CLUSTER: unknown serializer {name!r}, expected one of {known}{near}"
        ) from None


def describe(
    data: bytes, name: str, limit: int = 10_000, *, masked: bool = False
) -> str:
    """Return a stored payload as text for people; a pickle is never opened.

    Of a payload of more than ``limit`` bytes the beginning is shown. With ``masked``,
    what looks like a secret is shown as ``***``.
    """
    if name != "json":
        return f"<{name}, {len(data)} bytes, not shown>"
    if len(data) > limit and not masked:
        return f"{data[:limit].decode(errors='replace')}… ({len(data)} bytes)"
    try:
        value = _SERIALIZERS["json"].loads(data)
    except BadPackage:
        return f"<unreadable json, {len(data)} bytes>"
    try:
        if masked:
            value = mask_arguments(value)
        if len(data) > limit:
            # whole, for the beginning of a name and its secret may be cut apart
            return f"{repr(value)[:limit]}… ({len(data)} bytes)"
        return pprint.pformat(value, width=88, sort_dicts=False)
    except (RecursionError, ValueError):  # an integer of more than 4300 digits
        return f"<unreadable json, {len(data)} bytes>" if masked else data.decode()
