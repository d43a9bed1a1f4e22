"""The cache backend of Django's cache framework: the alias that ``cache`` names."""

from __future__ import annotations

import hashlib
import math
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from django.core.cache import InvalidCacheBackendError, caches
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.locmem import LocMemCache

from ..errors import ConfigError, QcoreError, StoreError, did_you_mean
from .base import CacheBackend
from .failures import translate
from .raw import make_raw

if TYPE_CHECKING:
    from ..conf import Conf

# memcached takes 250 bytes without spaces, of which Django's KEY_PREFIX and version
# need some.
_PLAIN_KEY = re.compile(r"[!-~]{1,180}")

#: Keys begin with it. 2.0 used "qcore:" for values that Django's caches had pickled.
_PREFIX = "qcore2:"

#: Seconds beyond which a time to live is for ever, ten years. Memcached counts seconds
#: since the epoch in 32 bits, a database dates up to the year 9999.
_EVER = 10 * 365 * 86_400


class DjangoCache(CacheBackend):
    """Keeps bytes in ``CACHES[conf.cache]``; each thread has its own connection.

    Redis and memcached are used without Django's pickles; see ``raw``.

    Raises:
        ConfigError: there is no cache of that name.
    """

    _local: ClassVar = threading.local()

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
        return self._raw() or caches[self.conf.cache]

    def _raw(self) -> BaseCache | None:
        """Return this thread's cache object without pickles, where the cache needs one."""
        # a fork has none yet, and override_settings brings other settings
        mark = (os.getpid(), caches.settings)
        if getattr(self._local, "mark", None) != mark:
            self._local.mark, self._local.made = mark, {}
        made: dict[str, BaseCache | None] = self._local.made
        if self.conf.cache not in made:
            made[self.conf.cache] = make_raw(self.conf.cache)
        return made[self.conf.cache]

    @property
    def is_shared(self) -> bool:
        """Whether another process sees what this one writes."""
        try:
            return not isinstance(caches[self.conf.cache], DummyCache | LocMemCache)
        except InvalidCacheBackendError:
            return False

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        names = {_name(key): key for key in keys}
        with _errors(f"read {len(names)} keys"):
            found = self._cache.get_many(names)
        return {names[name]: _as_bytes(value) for name, value in found.items()}

    def set_many(self, values: Mapping[str, bytes], ttl: float | None) -> None:
        named = {_name(key): value for key, value in values.items()}
        with _errors(f"write {len(named)} keys"):
            failed = self._cache.set_many(named, timeout=_timeout(ttl))
            if failed:
                raise StoreError(
                    f"the cache refused {len(failed)} of {len(named)} keys"
                )

    def add(self, key: str, value: bytes, ttl: float | None) -> bool:
        with _errors("add a key"):
            return bool(self._cache.add(_name(key), value, timeout=_timeout(ttl)))

    def count(self, key: str, ttl: float | None) -> int:
        with _errors("count"):
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
        with _errors("delete keys"):
            self._cache.delete_many([_name(key) for key in keys])

    def info(self) -> str:
        return f"{type(self._cache).__name__} ({self.conf.cache})"


@contextmanager
def _errors(what: str) -> Iterator[None]:
    """Raise whatever Django or a driver raises as an error of the contract."""
    try:
        yield
    except QcoreError:
        raise
    except InvalidCacheBackendError as error:
        raise ConfigError(f"CACHES is wrong: {error}") from error
    except Exception as error:
        raise translate(error, what) from error


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
        return f"{_PREFIX}{key}"
    digest = hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=20)
    return f"{_PREFIX}#{digest.hexdigest()}"


def _timeout(ttl: float | None) -> int | None:
    """Return whole seconds, at least 1: memcached and Redis take nothing else."""
    return None if ttl is None or ttl >= _EVER else max(1, math.ceil(ttl))


def _as_bytes(value: object) -> bytes:
    """Return a value as bytes; counters are kept as integers."""
    if isinstance(value, bytes):
        return value
    return str(value).encode()
