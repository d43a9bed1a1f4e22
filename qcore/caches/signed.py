"""Signed: values in a cache with a signature, so that only values of this project count.

A cache is often open to every process of a network. Without signatures, whoever can write
there could hand over results, pickled ones too where ``accept_content`` has pickle, and
could make up clusters. The signature covers the key, so a value cannot be moved either.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Iterable, Mapping

from ..conf import Conf
from ..errors import ConfigError
from ..signing import Mac
from .base import CacheBackend

logger = logging.getLogger("qcore.cache")

#: What a value begins with: what it is, then 32 bytes of HMAC-SHA256, then the bytes.
_MAGIC = b"qs1"
_START = len(_MAGIC) + 32


class SignedCache:
    """The part of a cache backend that results and status use, with signatures.

    Args:
        cache: where the values are kept.
        conf: has the secrets; the first signs, all of them are accepted.

    Raises:
        ConfigError: there is no secret to sign with.
    """

    def __init__(self, cache: CacheBackend, conf: Conf) -> None:
        secrets = conf.signing_secrets or _secrets_of_the_project()
        if not secrets:
            raise ConfigError(
                "values in the cache cannot be signed without a key: SECRET_KEY is empty."
                " Set SECRET_KEY in Django's settings, or Q_CLUSTER['signing_keys']."
            )
        self._cache = cache
        purpose = b"qcore cache v1\0" + conf.name.encode()
        self._macs = [
            Mac(hmac.digest(secret.encode(), purpose, hashlib.sha256))
            for secret in secrets
        ]
        self._has_told = False

    def get(self, key: str) -> bytes | None:
        """Return the value of a key, or None; one that is not ours is not there."""
        return self.get_many([key]).get(key)

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Return the values of the keys that this project has signed."""
        opened = {
            key: self._open(key, value)
            for key, value in self._cache.get_many(keys).items()
        }
        return {key: value for key, value in opened.items() if value is not None}

    def set(self, key: str, value: bytes, ttl: float | None) -> None:
        """Keep a value for ``ttl`` seconds; None means until it is deleted."""
        self.set_many({key: value}, ttl)

    def set_many(self, values: Mapping[str, bytes], ttl: float | None) -> None:
        """Keep several values."""
        self._cache.set_many({k: self._seal(k, v) for k, v in values.items()}, ttl)

    def count(self, key: str, ttl: float | None) -> int:
        """Add one to a counter; the cache counts, so its number has no signature."""
        return self._cache.count(key, ttl)

    def counted(self, key: str) -> int:
        """Return the value of a counter; 0 where the value is no number."""
        value = self._cache.get(key) or b""
        return int(value) if value.isdigit() else 0

    def delete_many(self, keys: Iterable[str]) -> None:
        """Forget keys, whether or not they have a value."""
        self._cache.delete_many(keys)

    def close(self) -> None:
        """Let the cache's connections go; the next call may connect again."""
        self._cache.close()

    def _seal(self, key: str, value: bytes) -> bytes:
        return _MAGIC + self._macs[0].of(_message(key, value)) + value

    def _open(self, key: str, sealed: bytes) -> bytes | None:
        mac, value = sealed[len(_MAGIC) : _START], sealed[_START:]
        if sealed.startswith(_MAGIC):
            for own in self._macs:
                if hmac.compare_digest(own.of(_message(key, value)), mac):
                    return value
        if not self._has_told:
            logger.warning(
                "the cache has a value under %r that no key of this project has signed;"
                " such values are ignored",
                key,
            )
            self._has_told = True
        return None


def _secrets_of_the_project() -> tuple[str, ...]:
    """Return what signs where ``conf`` was made by hand and names no secret."""
    from django.conf import settings

    every = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return tuple(str(secret) for secret in every if secret)


def _message(key: str, value: bytes) -> bytes:
    """Return what is signed: no key with its value is also another key with another."""
    name = key.encode(errors="surrogatepass")
    return len(name).to_bytes(4) + name + value
