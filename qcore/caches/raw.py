"""Django's caches without pickle: bytes and counters go in, bytes come out.

Django's caches in Redis and memcached pickle what they are given and unpickle what they
read, and whoever can write there could so run code in each process that reads. The services
are the project's, so qcore makes cache objects of its own from the same settings, with a
serializer that passes bytes on as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.cache import caches
from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from django.core.cache.backends.base import BaseCache

#: Class of a cache -> the key of its OPTIONS that names a serializer, and ours.
_SERIALIZERS = {
    "django.core.cache.backends.redis.RedisCache": (
        "serializer",
        "qcore.caches.raw.BytesSerializer",
    ),
    "django_redis.cache.RedisCache": ("SERIALIZER", "qcore.caches.raw.BytesSerializer"),
    "django.core.cache.backends.memcached.PyMemcacheCache": ("serde", None),
}


class BytesSerializer:
    """A serializer for Django's RedisCache and for django-redis that changes nothing."""

    def __init__(self, options: object = None) -> None:
        """Take what django-redis passes, and do not need it."""

    def dumps(self, value: bytes | int) -> bytes | int:
        """Return the bytes to store; integers stay numbers that INCR can count."""
        return value

    def loads(self, data: bytes) -> bytes:
        """Return what is kept."""
        return data


class BytesSerde:
    """The same for pymemcache, whatever flags a value has been stored with."""

    def serialize(self, key: object, value: bytes | int) -> tuple[bytes, int]:
        """Return the bytes to store, without flags."""
        return (value if isinstance(value, bytes) else b"%d" % value), 0

    def deserialize(self, key: object, value: bytes, flags: int) -> bytes:
        """Return what is kept."""
        return value


def make_raw(alias: str) -> BaseCache | None:
    """Return a cache object of our own for an alias of CACHES.

    None where the cache needs none, for only processes of the project can write there
    (memory, files, a table of the database), and where it is of a kind that is not known.
    """
    settings = dict(caches.settings[alias])
    kind = import_string(settings.pop("BACKEND"))
    for name, (option, value) in _SERIALIZERS.items():
        if name in (f"{one.__module__}.{one.__qualname__}" for one in kind.__mro__):
            ours: Any = BytesSerde() if value is None else value
            options = dict(settings.get("OPTIONS") or {}) | {option: ours}
            location = settings.pop("LOCATION", "")
            made: BaseCache = kind(location, settings | {"OPTIONS": options})
            return made
    return None
