"""What this process works with: settings, plugins, broker, stores.

Everything is made on first use, from the project's settings, and made anew when
``override_settings`` changes them. Brokers and stores belong to one thread of one
process, so each thread has its own and a fork starts with none.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from .conf import Conf
from .conf.names import near_queue
from .errors import ConfigError
from .ledger_interface import ControlLike, LedgerPlace, OutboxLike, TrackerLike
from .masking import mask_url
from .plugins.choice import Choice, choose
from .plugins.provider import Provider
from .plugins.registry import Registry
from .printable import printable
from .reporters.selected import flush_all, make_all
from .results.routed import CACHE, DATABASE, RoutedStore
from .signing import Signer, signer_of

if TYPE_CHECKING:
    from .brokers.base import Broker
    from .caches.base import CacheBackend
    from .reporters.base import ErrorReporter
    from .results.base import ResultStore
    from .schedules.base import Scheduler

__all__ = [
    "ONE_OF",
    "ControlLike",
    "Current",
    "LedgerPlace",
    "OutboxLike",
    "TrackerLike",
    "current",
]

logger = logging.getLogger("qcore.runtime")

T = TypeVar("T")

#: Settings of Django that ours are derived from.
_WATCHED = frozenset(
    {"Q_CLUSTER", "SECRET_KEY", "SECRET_KEY_FALLBACKS", "TIME_ZONE", "USE_TZ"}
)

#: Under this name: the names of the reporters that cannot be made.
_LEFT_OUT = "reporters left out"


#: The result store of what is cached, over the cache backend that is selected.
_CACHED = "cache"

#: The outbox, of a higher layer than this one.
_OUTBOX = Provider("outbox", "qcore.ledger.outbox:Outbox")
#: The ledger as plugins see it.
_LEDGER = Provider("ledger", "qcore.ledger.facade:LedgerFacade")

#: Pauses and cancelled tasks, of the same layer.
_CONTROL = Provider("control", "qcore.ledger.control:Control")

#: What keeps tracked tasks, of the same layer.
_TRACKER = Provider("tracker", "qcore.ledger.tracked:Tracker")

#: The kinds of which a project has exactly one.
ONE_OF = ("broker", "cache backend", "scheduler", "result store")


class Current:
    """The one global of qcore, as ``qcore.runtime.current``."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._made: dict[str, Any] = {}
        self._local = threading.local()
        self._generation = 0
        self._watching = False
        #: The doubts that this process has been told of.
        self.told: set[str] = set()

    # -- one for the process ---------------------------------------------------
    @property
    def registry(self) -> Registry:
        """The installed plugins."""
        registry: Registry | None = self._made.get("registry")
        return self._one("registry", Registry) if registry is None else registry

    @property
    def conf(self) -> Conf:
        """The project's settings.

        Raises:
            ConfigError: Q_CLUSTER is wrong; the message says where.
        """
        # each task asks several times: without the call of `_one`, in half the time
        conf: Conf | None = self._made.get("conf")
        return self._one("conf", self._read) if conf is None else conf

    @property
    def signer(self) -> Signer:
        """What signs and verifies packages."""
        signer: Signer | None = self._made.get("signer")
        if signer is None:
            signer = self._one("signer", lambda: signer_of(self.conf))
        return signer

    def _read(self) -> Conf:
        self._watch()
        return Conf.from_settings(
            claimed=self.registry.claims(),
            settings=self.registry.settings(),
            adapt=self.registry.adapt,
        )

    # -- one for each thread -----------------------------------------------------
    def broker(self, queue: str | None = None) -> Broker:
        """Return this thread's broker for a queue; None means the project's own."""
        conf = self.conf
        name = queue or conf.queue
        broker: Broker | None = self._made_here().get(f"broker {name}")
        if broker is None:
            broker = self._mine(
                f"broker {name}", partial(self._make_broker, conf, name)
            )
        return broker

    def _make_broker(self, conf: Conf, queue: str) -> Broker:
        make = partial(self.choice("broker").make, conf)
        broker: Broker
        if conf.bands:
            from .brokers.banded import banded

            broker = banded(conf, queue, make)
        else:
            broker = make(queue)
        self.tell(self.choice("broker").doubt)
        self.tell(self.doubt_of(queue))
        return broker

    def doubt_of(self, queue: str) -> str:
        """Return what to say of a queue that is probably not meant; mostly nothing."""
        near = near_queue(queue, self.conf.queues)
        return near and f"the queue {queue!r} is in no setting{near}"

    def tell(self, doubt: str) -> None:
        """Log a doubt, once in a process; not the empty text."""
        if doubt and doubt not in self.told:
            self.told.add(doubt)
            logger.warning("%s", printable(doubt))

    def store(self, cached: object = False) -> ResultStore:
        """Return this thread's result store; ``cached`` chooses the one in the cache."""
        store: ResultStore = self._mine(
            "cached store" if cached else "result store",
            self._make_cached if cached else partial(self.make, "result store"),
        )
        return store

    @property
    def results(self) -> ResultStore:
        """This thread's store for all results: each goes where its task says."""
        store: ResultStore = self._mine("results", self._make_routed)
        return store

    def _make_routed(self) -> ResultStore:
        return RoutedStore(
            self.conf, {DATABASE: self.store, CACHE: partial(self.store, True)}
        )

    @property
    def cache(self) -> CacheBackend:
        """This thread's cache backend."""
        cache: CacheBackend = self._mine("cache", partial(self.make, "cache backend"))
        return cache

    @property
    def scheduler(self) -> Scheduler:
        """This thread's scheduler."""
        scheduler: Scheduler = self._mine("scheduler", partial(self.make, "scheduler"))
        return scheduler

    @property
    def outbox(self) -> OutboxLike | None:
        """This thread's outbox; None where the project has no ledger to keep it in.

        Raises:
            ConfigError: the ledger is in no database that can have it.
        """
        outbox: OutboxLike | None = self._mine("outbox", partial(self._part, _OUTBOX))
        return outbox

    @property
    def ledger(self) -> LedgerPlace | None:
        """The ledger, as plugins with tables of their own use it; None: there is none.

        ``ledger.database`` is the alias of its database, where the tables of a feature
        belong; ``ledger.now()`` is the time by the clock of that database, in seconds since
        the epoch; ``ledger.is_ready`` says whether its tables are there.

        Raises:
            ConfigError: as ``outbox``.
        """
        outbox = self.outbox
        if outbox is None:
            return None
        ledger: LedgerPlace = self._mine(
            "ledger", lambda: _LEDGER.load()(outbox.database)
        )
        return ledger

    @property
    def control(self) -> ControlLike | None:
        """What this thread asks of clusters; None where the project has no ledger.

        Raises:
            ConfigError: the ledger is in no database that can have it.
        """
        control: ControlLike | None = self._mine(
            "control", partial(self._part, _CONTROL)
        )
        return control

    @property
    def has_control(self) -> bool:
        """Whether this thread has asked anything of clusters so far."""
        return "control" in self._made_here()

    @property
    def tracker(self) -> TrackerLike | None:
        """What keeps tracked tasks, for this thread; None: there is no ledger for them.

        Raises:
            ConfigError: the ledger is in no database that can have it.
        """
        tracker: TrackerLike | None = self._mine(
            "tracker", partial(self._part, _TRACKER)
        )
        return tracker

    def _part(self, provider: Provider) -> Any:
        """Return a part of the ledger; None where the project has none."""
        from django.apps import apps

        if not apps.is_installed("qcore"):
            return None
        try:
            return provider.load()(self.conf)
        except ConfigError:
            if self.conf.ledger is not None:
                raise
            return None  # the results are in a database of another kind

    @property
    def reporters(self) -> list[ErrorReporter]:
        """This thread's error reporters; one that cannot be made is logged and left out.

        It is logged once, also for the processes that are forked later.
        """
        return self._mine("reporters", self._make_reporters)

    def load_reporters(self) -> None:
        """Make this thread's error reporters now: what is wrong with one is logged."""
        self._mine("reporters", self._make_reporters)

    def choice(self, kind: str) -> Choice:
        """Return what the settings select of a kind, for all threads; see `choose`.

        Raises:
            ConfigError, PluginError: they select nothing usable.
        """
        return self._one(
            f"chosen {kind}", lambda: choose(self.registry, self.conf, kind)
        )

    def load(self) -> None:
        """Import what the properties above make, without making it.

        Raises:
            ConfigError, PluginError: one of them cannot be had.
        """
        for kind in ONE_OF:
            self.choice(kind).load()
        self.registry.load("result store", _CACHED)

    def flush_reporters(self, timeout: float) -> None:
        """Let each reporter that this thread has made send what is left, within seconds."""
        flush_all(self._made_here().get("reporters", ()), timeout)

    def make(self, kind: str) -> Any:
        """Make one of what the settings select of a kind, a broker apart.

        Raises:
            ConfigError, PluginError: it cannot be had.
        """
        return self.choice(kind).make(self.conf)

    def _make_cached(self) -> ResultStore:
        store: ResultStore = self.registry.load("result store", _CACHED)(
            self.conf, self.cache
        )
        return store

    def _make_reporters(self) -> list[ErrorReporter]:
        left_out = self._one(_LEFT_OUT, set[str])
        return make_all(self.registry, self.conf.error_reporter, left_out)

    # -- making and forgetting ---------------------------------------------------
    def _one(self, key: str, make: Callable[[], T]) -> T:
        try:
            made: T = self._made[key]
        except KeyError:
            with self._lock:
                if key not in self._made:
                    self._made[key] = make()
                made = self._made[key]
        return made

    def _mine(self, key: str, make: Callable[[], T]) -> T:
        mine = self._made_here()
        try:
            made: T = mine[key]
        except KeyError:
            made = mine[key] = make()
        return made

    def _made_here(self) -> dict[str, Any]:
        """Return what this thread of this process has made from these settings."""
        mark = (os.getpid(), self._generation)
        local = self._local
        if (before := getattr(local, "mark", None)) != mark:
            left = getattr(local, "made", {})
            local.mark, local.made = mark, {}
            # after a fork, what is there belongs to the parent: it is dropped and not closed
            if before is not None and before[0] == mark[0]:
                _close_brokers(left)
        made: dict[str, Any] = local.made
        return made

    def close(self) -> None:
        """Let this thread's connections go, for example before a fork."""
        for made in getattr(self._local, "made", {}).values():
            if close := getattr(made, "close", None):
                close()
        self._local.made = {}

    def reset(self) -> None:
        """Forget everything but the plugins; the next use reads the settings again.

        Each thread closes the connections of its brokers: this one now, another one when
        it uses qcore the next time.
        """
        with self._lock:
            self._generation += 1
            for key in self._made.keys() - {"registry"}:
                del self._made[key]
        self._made_here()

    def _watch(self) -> None:
        if self._watching:
            return
        from django.core.signals import setting_changed

        setting_changed.connect(self._on_change, weak=False, dispatch_uid="qcore")
        self._watching = True

    def _on_change(self, *, setting: str, **_: object) -> None:
        if setting in _WATCHED:
            self.reset()


def _close_brokers(made: Mapping[str, Any]) -> None:
    """Close the connections of brokers that a thread has made and forgets.

    Those of databases are Django's, and a transaction may be open on them.
    """
    for key, one in made.items():
        if not key.startswith("broker ") or getattr(one, "database", None) is not None:
            continue
        try:
            one.close()
        except Exception as error:  # noqa: BLE001 - a broken connection counts as closed
            logger.warning(
                "%s is not closed: %s", type(one).__name__, mask_url(str(error))
            )


current = Current()
