"""What a cache backend is: bytes under keys, with a time to live.

Status snapshots, cached results and the collation of ``async_iter`` go through it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from ..conf import Conf


class CacheBackend:
    """Base class of all cache backends; safe to use from several threads.

    Every method raises errors of qcore and no others:

    - ``StoreUnavailable``: the service cannot be reached; the same call may succeed later.
    - ``StoreRefused``: the cache can never take this value, or this time to live.
    - ``StoreError``: the call failed, and the reason may be temporary or not.
    - ``ConfigError``: a setting is wrong.
    """

    #: Does another process see what this one writes?
    shared: ClassVar[bool] = True

    def __init__(self, conf: Conf) -> None:
        self.conf = conf

    @property
    def is_shared(self) -> bool:
        """Whether another process sees what this one writes; may depend on settings."""
        return self.shared

    def get(self, key: str) -> bytes | None:
        """Return the value of a key, or None."""
        return self.get_many([key]).get(key)

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Return the values of the keys that are there."""
        raise NotImplementedError

    def set(self, key: str, value: bytes, ttl: float | None) -> None:
        """Keep a value for ``ttl`` seconds; None means until it is deleted."""
        self.set_many({key: value}, ttl)

    def set_many(self, values: Mapping[str, bytes], ttl: float | None) -> None:
        """Keep several values, in one round trip where the service has one."""
        raise NotImplementedError

    def add(self, key: str, value: bytes, ttl: float | None) -> bool:
        """Keep a value unless the key has one; return whether it was kept."""
        raise NotImplementedError

    def count(self, key: str, ttl: float | None) -> int:
        """Add one to a counter and return it, beginning with 1; never the same twice."""
        raise NotImplementedError

    def delete_many(self, keys: Iterable[str]) -> None:
        """Forget keys, whether or not they have a value."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the connections, as before a fork; the next call connects again."""

    def info(self) -> str:
        """Return the name of the service, for people."""
        return type(self).__name__
