"""Errors of a cache's driver: passing, permanent or unclear."""

from __future__ import annotations

from ..errors import StoreError, StoreRefused, StoreUnavailable
from ..masking import mask_url

#: Names of exceptions of drivers that pass: by name, for no driver is imported here.
_PASSING = frozenset(
    {
        *(
            "ConnectionError",
            "TimeoutError",
            "ConnectionInterrupted",
        ),  # redis, django-redis
        *("BusyLoadingError", "ReadOnlyError", "TryAgainError", "ClusterDownError"),
        *("MaxConnectionsError", "OutOfMemoryError", "MasterNotFoundError"),
        *("MemcacheUnexpectedCloseError", "MemcacheUnknownError"),  # pymemcache
        *("OperationalError", "InterfaceError", "InternalError"),  # Django's databases
    }
)
#: ... and of those that never do.
_LASTING = frozenset({"DataError", "IntegrityError", "MemcacheIllegalInputError"})
#: Beginnings of what Redis answers while it takes nothing for now.
_REDIS_PASSING = ("OOM ", "MISCONF ", "NOREPLICAS", "LOADING ", "READONLY ")


def translate(error: Exception, what: str) -> StoreError:
    """Return the error of the contract that stands for a driver's.

    Args:
        error: by whatever the cache is made of.
        what: could not be done, as "set 3 keys".
    """
    text = " ".join(mask_url(str(error)).split())
    return _class_of(error)(
        f"the cache failed to {what}: {type(error).__name__}: {text}"
    )


def _class_of(error: Exception) -> type[StoreError]:
    names = {kind.__name__ for kind in type(error).__mro__}
    if "MemcacheServerError" in names and "too large" in str(error):
        return StoreRefused
    if isinstance(error, OSError) or names & _PASSING:
        return StoreUnavailable
    if str(error).startswith(_REDIS_PASSING):
        return StoreUnavailable
    if names & _LASTING or isinstance(error, ValueError | TypeError | OverflowError):
        return StoreRefused
    return StoreError
