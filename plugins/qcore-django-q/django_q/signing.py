"""Packages as text: those of qcore, and those that django-q has signed.

``SignedPackage`` is what projects import. A package of qcore travels as bytes; old code
expects text, so the text is base64 of them behind a mark.
"""

from __future__ import annotations

import pickle
import zlib
from base64 import b64decode, b64encode
from typing import Any

from django.core import signing

from qcore.errors import BadPackage, PackageError
from qcore.runtime import current

BadSignature = signing.BadSignature

#: What the text of a package of qcore begins with. No text of django-q has a colon there:
#: they begin with base64 of a pickle, or with a dot.
MARK = "qc:"


def text_of(package: bytes) -> str:
    """Return a package as text; anything that is none of qcore's as it is."""
    if package[:2] == b"qc":
        return MARK + b64encode(package).decode("ascii")
    return package.decode(errors="surrogateescape")


def bytes_of(text: str | bytes) -> bytes:
    """Return what ``text_of`` was given."""
    if isinstance(text, bytes | bytearray | memoryview):
        return bytes(text)
    if text.startswith(MARK):
        try:
            return b64decode(text.removeprefix(MARK), validate=True)
        except ValueError:
            pass  # it is somebody's text that begins so
    return text.encode(errors="surrogateescape")


class PickleSerializer:
    """Reads and writes pickles, for ``django.core.signing``."""

    @staticmethod
    def dumps(obj: object) -> bytes:
        """Return an object as a pickle."""
        return pickle.dumps(obj, protocol=pickle.HIGHEST_PROTOCOL)

    @staticmethod
    def loads(data: bytes) -> Any:
        """Return the object of a pickle. It runs what is in it: verify it before."""
        return pickle.loads(data)


class SignedPackage:
    """Signs dictionaries of tasks, and reads what was signed."""

    @staticmethod
    def dumps(obj: Any, compressed: bool | None = None) -> str:
        """Return a signed text of an object.

        The dictionary of a task becomes a package that a cluster runs, with the setting
        ``compress`` in place of ``compressed``. Anything else is signed as django-q does.
        """
        from .packages import is_task, task_of

        if is_task(obj):
            return text_of(current.signer.sign(task_of(obj)))
        return signing.dumps(
            obj,
            key=current.conf.signing_secrets[0],
            salt=current.conf.name,
            compress=bool(current.conf.compress if compressed is None else compressed),
            serializer=PickleSerializer,
        )

    @staticmethod
    def loads(obj: str | bytes) -> Any:
        """Return what was signed: of a package, the dictionary of its task.

        Raises:
            BadSignature: signed with another key, changed, or no package at all.
        """
        from .packages import dict_of

        package = bytes_of(obj)
        if package[:2] == b"qc":
            try:
                return dict_of(current.signer.verify(package))
            except PackageError as error:
                raise BadSignature(str(error)) from error
        return PickleSerializer.loads(verified(package.decode(errors="replace")))


def verified(text: str) -> bytes:
    """Return the pickle in a text that django-q has signed; it is not opened.

    Raises:
        BadSignature: none of the keys of this project has signed it for its name.
        BadPackage: the signature is right, and the rest is no base64, or larger than
            ``max_payload`` allows.
    """
    conf = current.conf
    for key in conf.signing_secrets:
        signer = signing.TimestampSigner(key=key, salt=conf.name)
        try:
            data = signer.unsign(text)
        except BadSignature:
            continue
        return _inflated(data, 16 * conf.max_payload)
    raise BadSignature(
        "no key of this project has signed it for its name: SECRET_KEY,"
        " SECRET_KEY_FALLBACKS and Q_CLUSTER['name'] must be those it was sent with"
    )


def _inflated(data: str, limit: int) -> bytes:
    is_compressed = data.startswith(".")
    try:
        raw = signing.b64_decode(data.removeprefix(".").encode())
        if not is_compressed:
            return raw
        inflater = zlib.decompressobj()
        inflated = inflater.decompress(raw, limit)
    except (ValueError, zlib.error) as error:
        raise BadPackage(f"it cannot be read: {error}") from error
    if inflater.unconsumed_tail:
        raise BadPackage(f"it inflates to more than {limit:,} bytes")
    return inflated
