"""Contents: serialised values as the text of a database column, and back.

JSON and the text of errors are stored as they are, everything else as base64.
``joined`` is the content of an ``async_iter`` whose parts are not all JSON: a JSON
list of [content, text] pairs, so that joining never has to open a pickle.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Collection, Sequence
from typing import Any, cast

import msgspec

from ..errors import BadPackage, StoreError
from ..masking import mask_url
from ..serializers import describe, get_serializer

JSON = "json"
TEXT = "text"
JOINED = "joined"

Stored = tuple[str, str]  # content and text of one value

_PLAIN = frozenset({JSON, TEXT, JOINED})
_encode = msgspec.json.Encoder().encode
_parts = msgspec.json.Decoder(list[Stored]).decode
#: Of a JSON list its values, each as the text that it is.
raws = msgspec.json.Decoder(list[msgspec.Raw]).decode


def to_text(data: bytes, content: str) -> str:
    """Return a serialised value as text that every database takes."""
    if content not in _PLAIN:
        return b64encode(data).decode("ascii")
    text = data.decode(errors="replace")
    return storable(text) if "\0" in text else text


def storable(text: str) -> str:
    """Return a text without NUL, which PostgreSQL refuses."""
    return text.replace("\0", "\ufffd") if "\0" in text else text


def to_bytes(text: str, content: str) -> bytes:
    """Return the serialised value that ``to_text`` was given.

    Raises:
        BadPackage: the column was changed by hand and is no base64.
    """
    if content in _PLAIN:
        return text.encode()
    try:
        return b64decode(text, validate=True)
    except ValueError as error:
        raise BadPackage(f"stored {content} payload cannot be read: {error}") from error


def load(text: str, content: str, accept: Collection[str]) -> object:
    """Return the value that is stored as ``text``; see ``load_bytes``.

    Args:
        text: as ``to_text`` returned it.
        content: its serializer, ``text`` or ``joined``.
        accept: serializers that may be used.
    """
    require_accepted(content, accept)
    return load_bytes(to_bytes(text, content), content, accept)


def load_bytes(data: bytes, content: str, accept: Collection[str]) -> object:
    """Return the value that was serialised.

    Args:
        data: the value.
        content: its serializer, ``text`` or ``joined``.
        accept: serializers that may be used: ``conf.accept_content``.

    Raises:
        StoreError: the project does not accept this serializer.
        BadPackage: the value is damaged.
    """
    if content == TEXT:
        return data.decode(errors="replace")
    if content == JOINED:
        return [load(part, kind, accept) for kind, part in _split_parts(data)]
    require_accepted(content, accept)
    return get_serializer(content).loads(data)


def require_accepted(content: str, accept: Collection[str]) -> None:
    """Refuse a serializer that may run code, unless the project accepts it.

    Raises:
        StoreError: it does not.
    """
    if content not in _PLAIN and content not in accept:
        raise StoreError(
            f"the stored value is {content!r}, this project accepts"
            f" {', '.join(accept)}. Add it to Q_CLUSTER['accept_content'] to read it."
        )


def load_call(text: str, content: str, accept: Collection[str]) -> list[Any]:
    """Return the stored call: a list of args, kwargs and the rest of its body."""
    require_accepted(content, accept)
    return call_of(to_bytes(text, content), content, accept)


def call_of(body: bytes, content: str, accept: Collection[str]) -> list[Any]:
    """Return the call of a task's body; of a joined ``async_iter``, the calls as one."""
    call = cast("list[Any]", load_bytes(body, content, accept))
    return [[part[0] for part in call], {}] if content == JOINED else call


def show(text: str, content: str, *, masked: bool = False) -> str:
    """Return a stored value as text for people; a pickle is never opened.

    With ``masked``, what looks like a secret is shown as ``***``.
    """
    if content == TEXT:
        return mask_url(text) if masked else text
    if content == JOINED:
        try:
            parts = _split_parts(text)
            return "\n".join(show(part, kind, masked=masked) for kind, part in parts)
        except BadPackage as error:
            return f"<{error}>"
    if content == JSON:
        return describe(text.encode(), content, masked=masked)
    return f"<{content}, {len(text) * 3 // 4} bytes, not shown>"


def show_part(text: str, content: str, index: int) -> str:
    """Return one part of a stored call as text, without secrets: 0 args, 1 kwargs."""
    if content != JSON:
        return show(text, content, masked=True)
    try:
        return describe(bytes(raws(text)[index]), content, masked=True)
    except (msgspec.DecodeError, IndexError):
        return show(text, content, masked=True)


def join_values(values: Sequence[Stored]) -> Stored:
    """Return the stored list of stored values; nothing is decoded."""
    if any(content not in (JSON, TEXT) for content, _ in values):
        return JOINED, _encode(values).decode()
    parts = (_encode(v).decode() if c == TEXT else v for c, v in values)
    return JSON, f"[{','.join(parts)}]"


def join_payloads(payloads: Sequence[Stored]) -> Stored:
    """Return the payload of a call whose arguments are the ``args`` of many calls."""
    if any(content != JSON for content, _ in payloads):
        return JOINED, _encode(payloads).decode()
    try:
        args = (bytes(raws(text)[0]).decode() for _, text in payloads)
        return JSON, f"[[{','.join(args)}],{{}}]"
    except (msgspec.DecodeError, IndexError):
        return JOINED, _encode(payloads).decode()


def _split_parts(text: str | bytes) -> list[Stored]:
    try:
        return _parts(text)
    except msgspec.DecodeError as error:
        raise BadPackage(f"stored list of results cannot be read: {error}") from error
