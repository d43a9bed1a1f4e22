"""Secrets are replaced by ``***`` before a value is shown, logged or stored.

Two rules: a value under a key that names a secret is hidden whole, and the user
information of every URL is hidden up to the user's name. Both prefer to hide too
much: a host name lost from a message costs less than a password kept in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"

_NAMES = re.compile(
    r"password|passwd|passphrase|pwd|secret|token|credential|auth|key|dsn",
    re.IGNORECASE,
)
# The same as whole words, for names that others have given: "author" has no secret.
_WORDS = frozenset(
    [
        "password",
        "passwd",
        "passphrase",
        "pwd",
        "secret",
        "secrets",
        "token",
        "tokens",
        "credential",
        "credentials",
        "auth",
        "authorization",
        "key",
        "keys",
        "apikey",
        "dsn",
    ]
)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_URL = re.compile(r"(?P<sign>://)(?P<rest>\S*)")
# What may stand before the first / ? # of a URL that carries no user information:
# hosts and ports separated by commas, as MongoDB and Redis Sentinel write them.
_HOST = r"(?:[\w.\-]+|\[[0-9a-fA-F:.%]+\])?(?::\d*)?"
_HOSTS = re.compile(rf"{_HOST}(?:,{_HOST})*")
# What may follow a URL in prose and is none of it.
_PUNCTUATION = ".,;:!?)}>'\""
# password=..., 'token': '...': in query strings, libpq DSNs and printed dicts. The
# words are fewer than above, for in prose "key=" is seldom a secret.
_PAIR = re.compile(
    r"""(?<![\w\-])
        (?P<key>[\w\-]*(?:password|passwd|pwd|secret|token|(?:access|api)_?key)[\w\-]*)
        (?P<sign>\s*=\s*|["']\s*:\s*)
        (?P<value>"[^"]*"|'[^']*'|[^\s&]+)""",
    re.IGNORECASE | re.VERBOSE,
)


def is_secret(key: str) -> bool:
    """Whether the name of a setting says that its value is a secret."""
    return bool(_NAMES.search(key))


def mask(value: Any, key: str = "") -> Any:
    """Return a copy of ``value`` that is safe to show.

    Args:
        value: Anything that may stand in a setting. Dicts, lists, tuples and sets are
            copied at every depth (sets become lists); numbers, bools and None stay as
            they are; any other object becomes the masked text of its ``repr``.
        key: The name under which the value was found.
    """
    if value is None or value in ("", b""):
        return value
    if is_secret(key):
        return MASK
    if isinstance(value, str):
        return mask_url(value)
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {k: mask(v, str(k)) for k, v in value.items()}
    if isinstance(value, tuple):
        return tuple(mask(item) for item in value)
    if isinstance(value, list | set | frozenset):
        return [mask(item) for item in value]
    if isinstance(value, bytes):
        return mask_url(value.decode("utf-8", "replace"))
    return mask_url(repr(value))


def mask_arguments(value: Any, key: str = "") -> Any:
    """Return a copy of a task's arguments that is fit for the eyes of the staff.

    Args:
        value: Dicts, lists, tuples and sets are copied at every depth; objects of other
            types than text and bytes stay as they are.
        key: The name under which the value was found. Whole words of it count, so that
            ``api_key`` and ``accessToken`` are hidden, ``author`` and ``monkey`` are not.
    """
    if value is None or (isinstance(value, str | bytes) and not value):
        return value
    if any(word.lower() in _WORDS for word in _WORD.findall(key)):
        return MASK
    if isinstance(value, str):
        return mask_url(value)
    if isinstance(value, dict):
        return {k: mask_arguments(v, str(k)) for k, v in value.items()}
    # not type(value): that of a subclass may take other arguments
    for kind in (list, tuple, set, frozenset):
        if isinstance(value, kind):
            return kind(mask_arguments(item) for item in value)
    if isinstance(value, bytes):
        text = value.decode("utf-8", "surrogateescape")
        return mask_url(text).encode("utf-8", "surrogateescape")
    return value


def mask_url(text: str) -> str:
    """Hide passwords in ``text``: a URL, a DSN, or prose that contains them.

    ``redis://user:pw@host/0`` becomes ``redis://user:***@host/0``; user information
    without a colon (the key in a Sentry DSN) is hidden whole. ``mongodb://user:pw/db``, in
    which no host follows, becomes ``mongodb://user:***``.
    """
    return _PAIR.sub(rf"\g<key>\g<sign>{MASK}", _URL.sub(_mask_user, text))


def _mask_user(match: re.Match[str]) -> str:
    sign, rest = match["sign"], match["rest"]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    # A raw password may itself hold / ? # or @, so the last @ ends it, unless what
    # comes first is a plain host: then an @ further on belongs to the path.
    if _HOSTS.fullmatch(authority):
        return match[0]
    if "@" not in rest:
        # What follows the colon is no port: somebody has left the host out.
        user, colon, _ = authority.partition(":")
        plain = not colon or _HOSTS.fullmatch(authority.rstrip(_PUNCTUATION))
        return match[0] if plain else f"{sign}{user}:{MASK}"
    info, _, host = rest.rpartition("@")
    user, colon, _ = info.partition(":")
    return f"{sign}{user}:{MASK}@{host}" if colon else f"{sign}{MASK}@{host}"
