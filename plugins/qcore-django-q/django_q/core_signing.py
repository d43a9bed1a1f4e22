"""Django's signing, under the name that django-q has for it."""

from __future__ import annotations

from django.core.signing import (
    BadSignature,
    JSONSerializer,
    SignatureExpired,
    Signer,
    TimestampSigner,
    b64_decode,
    dumps,
    loads,
)

__all__ = [
    "BadSignature",
    "JSONSerializer",
    "SignatureExpired",
    "Signer",
    "TimestampSigner",
    "b64_decode",
    "dumps",
    "loads",
]
