"""The kinds of things that a plugin can make, and how a project selects one of each."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import msgspec


class Kind(msgspec.Struct, frozen=True):
    """One kind."""

    name: str
    """What messages call it: ``"cache backend"``."""
    hook: str
    """The hook by which plugins describe what they have of it."""
    base: str
    """``"module:Class"`` of the base class of all of them."""
    key: str | None = None
    """The key of Q_CLUSTER that names one, and that wins over every claim."""
    takes_names: bool = False
    """Whether that key takes the name of a provider, besides the dotted path of a class."""
    default: str | None = None
    """The provider of a project that selects none; None where that is worked out."""

    @property
    def public_base(self) -> str:
        """The base class as plugins import it: ``"qcore.CacheBackend"``."""
        return f"qcore.{self.base.rpartition(':')[2]}"

    def refuse(self, found: object) -> str | None:
        """Return why ``found`` is none of this kind; None where it is one."""
        module, _, name = self.base.partition(":")
        base: Any = getattr(import_module(module), name)
        if isinstance(found, type) and issubclass(found, base):
            return None
        return f"is not a subclass of {self.public_base}"


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            name="broker",
            hook="qcore_brokers",
            base="qcore.brokers.base:Broker",
            key="broker_class",
        ),
        Kind(
            name="error reporter",
            hook="qcore_error_reporters",
            base="qcore.reporters.base:ErrorReporter",
        ),
        Kind(
            name="cache backend",
            hook="qcore_cache_backends",
            base="qcore.caches.base:CacheBackend",
            key="cache_backend",
            takes_names=True,
            default="django",
        ),
        Kind(
            name="scheduler",
            hook="qcore_schedulers",
            base="qcore.schedules.base:Scheduler",
            key="scheduler_class",
            takes_names=True,
            default="orm",
        ),
        Kind(
            name="result store",
            hook="qcore_result_stores",
            base="qcore.results.base:ResultStore",
            key="result_store",
            takes_names=True,
            default="orm",
        ),
    )
}
