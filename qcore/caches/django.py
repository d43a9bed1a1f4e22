"""The cache backend of Django's cache framework: the alias that ``cache`` names."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from django.core.cache import InvalidCacheBackendError, caches
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.locmem import LocMemCache

from ..errors import ConfigError, did_you_mean
from .base import CacheBackend

if TYPE_CHECKING:
    from ..conf import Conf

# memcached takes 250 bytes without spaces, of which Django's KEY_PREFIX and version
# need some.
_PLAIN_KEY = re.compile(r"[!-~]{1,180}")


class DjangoCache(CacheBackend):
    """Keeps bytes in ``CACHES[conf.cache]``; each thread has its own connection.

    Raises:
        ConfigError: there is no cache of that name.
    """

    def __init__(self, conf: Conf) -> None:
        super().__init__(conf)
        if conf.cache not in caches.settings:
            near = did_you_mean(conf.cache, caches.settings)
            raise ConfigError(
                f"Q_CLUSTER['cache'] is {conf.cache!r}, which is no alias in CACHES"
                f" ({', '.join(caches.settings)}){near}"
            )

    @property
    def _cache(self) -> BaseCache:
        return caches[self.conf.cache]

    @property
    def is_shared(self) -> bool:
        """Whether another process sees what this one writes."""
        try:
            return not isinstance(self._cache, DummyCache | LocMemCache)
        except InvalidCacheBackendError:
            return False

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        names = {_name(key): key for key in keys}
        found = self._cache.get_many(names)
        return {names[name]: _as_bytes(value) for name, value in found.items()}

    def set_many(self, values: Mapping[str, bytes], ttl: float | None) -> None:
        named = {_name(key): value for key, value in values.items()}
        failed = self._cache.set_many(named, timeout=_timeout(ttl))
        if failed:
            raise ConnectionError(
                f"the cache refused {len(failed)} of {len(named)} keys"
            )

    def add(self, key: str, value: bytes, ttl: float | None) -> bool:
        return bool(self._cache.add(_name(key), value, timeout=_timeout(ttl)))

    def count(self, key: str, ttl: float | None) -> int:
        name, timeout, cache = _name(key), _timeout(ttl), self._cache
        if type(cache).incr is BaseCache.incr:
            return self._count_by_adding(cache, name, timeout)
        while True:
            cache.add(name, 0, timeout=timeout)
            try:
                return int(cache.incr(name))
            except ValueError:  # it expired between the two calls
                continue

    def _count_by_adding(self, cache: BaseCache, name: str, timeout: int | None) -> int:
        """Count where ``incr`` is a read and a write (database, files).

        ``add`` is the one operation that has a single winner there: who adds the mark
        of a number owns the number. With files not even that has one (it looks, and
        then writes), so there a lock makes the winner.
        """
        with _locked(cache):
            number = int(cache.get(name) or 0) + 1
            while not cache.add(f"{name}:{number}", 1, timeout=timeout):
                number += 1
            cache.set(name, number, timeout=timeout)
        return number

    def delete_many(self, keys: Iterable[str]) -> None:
        self._cache.delete_many([_name(key) for key in keys])

    def info(self) -> str:
        return f"{type(self._cache).__name__} ({self.conf.cache})"


@contextmanager
def _locked(cache: BaseCache) -> Iterator[None]:
    """Keep other processes and threads out, where the cache is a folder of files."""
    if not isinstance(cache, FileBasedCache):
        yield
        return
    import fcntl  # there is none on Windows, where no cluster runs

    # the folder has no public name
    folder = Path(cache._dir)  # type: ignore[attr-defined]  # noqa: SLF001
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # not ending in .djcache, so that the cache never takes it for one of its own
    with (folder / "qcore.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed
        yield


def _name(key: str) -> str:
    """Return the key that every backend takes."""
    if _PLAIN_KEY.fullmatch(key):
        return f"qcore:{key}"
    digest = hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=20)
    return f"qcore:#{digest.hexdigest()}"


def _timeout(ttl: float | None) -> int | None:
    """Return whole seconds, at least 1: memcached and Redis take nothing else."""
    return None if ttl is None else max(1, math.ceil(ttl))


def _as_bytes(value: object) -> bytes:
    """Return a value as bytes; counters are kept as integers."""
    if isinstance(value, bytes):
        return value
    return str(value).encode()
