"""What a broker is: the adapter between qcore and one queue service.

A broker moves opaque bytes. It knows nothing of tasks, signatures or results.

Rules for authors, each of them tested by ``qcore.testing.BrokerContract``:

- An instance belongs to one queue, one process and one thread. qcore makes
  another one for every thread and after every fork, so no locks are needed.
- ``__init__`` checks its options and raises ``ConfigError``; it does not connect.
- A claimed delivery is hidden for ``self.lease`` seconds and then handed out
  again with a higher ``attempt``, unless it has been acknowledged.
- What the service or its driver raises leaves as ``BrokerUnavailable`` when
  trying again may help and as ``BrokerError`` when it will not, with secrets masked.
- A receipt is valid as long as its package exists. A broker accepts an acknowledgement
  after the lease, from another instance, from another process and, if the broker is
  ``durable``, after a restart of the service. So a receipt is a value that the service
  knows, and not a number of one process.
- ``durable`` means that a SIGKILL of the service loses nothing. A package for which
  ``enqueue`` has returned an id is still there, claimed or not, with its number of
  attempts. An acknowledged package stays gone. A lease may end early, and never lasts for
  ever.
- A capability flag that is off means that the method raises ``Unsupported``.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from ..errors import PayloadTooLarge, Unsupported

if TYPE_CHECKING:
    from ..conf import Conf
    from ..envelope import Delivery
    from ..findings import Finding


class Broker:
    """Base class of all brokers.

    Args:
        conf: the cluster's settings.
        queue: name of the queue; None means ``conf.queue``.

    Raises:
        ConfigError: an option of the broker is wrong.
    """

    # -- capabilities: each is a question, and its answer is tested both ways --
    supports_receipts: ClassVar[bool] = (
        True  # is a package kept until it is acknowledged?
    )
    supports_bulk: ClassVar[bool] = False  # can one call claim or store several?
    supports_release: ClassVar[bool] = (
        False  # can a claimed delivery be given back at once?
    )
    supports_delay: ClassVar[bool] = (
        False  # can a package be hidden before its first claim?
    )
    supports_extend: ClassVar[bool] = False  # can a lease be prolonged?
    supports_blocking: ClassVar[bool] = (
        False  # does dequeue wake at once when a package comes?
    )
    supports_order: ClassVar[bool] = False  # is what was sent first claimed first?
    supports_priority: ClassVar[bool] = (
        False  # is a package of a higher priority claimed before the others?
    )
    supports_delete: ClassVar[bool] = (
        False  # can a waiting package be deleted by its id?
    )
    supports_counts: ClassVar[bool] = False  # does it know queue_size and lock_size?
    supports_durable: ClassVar[bool] = False  # does it outlive the service's process?
    supports_transactional: ClassVar[bool] = (
        False  # does enqueue join the caller's transaction?
    )
    supports_stats: ClassVar[bool] = False  # can it carry status snapshots?

    #: Whether a broker with ``supports_counts`` knows ``lock_size``, too. False where the
    #: service counts what waits, and does not tell how many packages are claimed.
    counts_claimed: ClassVar[bool] = True
    #: Whether a call waits for a service; False where all happens in this process.
    blocks: ClassVar[bool] = True
    #: Bytes that one package may have; None where the service sets no limit.
    max_payload: int | None = None
    #: Packages that one call may claim, acknowledge or store.
    max_batch: int = 1
    #: Django database alias whose transactions this broker shares, if any.
    database: str | None = None

    def __init__(self, conf: Conf, queue: str | None = None) -> None:
        self.conf = conf
        self.queue = queue or conf.queue
        self.lease = float(conf.retry)

    # -- sending -----------------------------------------------------------
    def enqueue(self, package: bytes, *, delay: float = 0) -> str:
        """Store one package and return the service's id for it.

        Args:
            package: any bytes, from one to ``max_payload`` of them.
            delay: seconds before it may be claimed.

        Raises:
            PayloadTooLarge: before anything is sent.
            Unsupported: ``delay`` without the capability.
            NoReply: the package may be stored; ``unsure`` is 1.
            BrokerUnavailable: the package is not stored.
        """
        return self.enqueue_many([package], delay=delay)[0]

    def enqueue_many(self, packages: Sequence[bytes], *, delay: float = 0) -> list[str]:
        """Store several packages, in order, with as few round trips as possible.

        There may be more than ``max_batch``, or none. One that is over
        ``max_payload`` refuses all. Returns one id for each.

        Raises:
            BrokerError: as ``enqueue``. The first ``error.stored`` packages are stored,
                and the next ``error.unsure`` packages may be stored; see
                ``qcore.brokers.tools.send_parts``.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement enqueue_many")

    def enqueue_with_priority(
        self, packages: Sequence[bytes], priority: int, *, delay: float = 0
    ) -> list[str]:
        """Store several packages that are claimed before those of a lower priority.

        ``enqueue_many`` stores packages of priority 0. Those of one priority are claimed
        in the order in which they were sent, where the broker has ``supports_order``.

        Args:
            packages: as for ``enqueue_many``.
            priority: -100 to 100, the same for all.
            delay: seconds before they may be claimed.

        Raises:
            Unsupported: ``supports_priority`` is off.
            BrokerError: as ``enqueue_many``.
        """
        raise self._unsupported("claim packages by their priority")

    # -- receiving ---------------------------------------------------------
    def dequeue(self, limit: int = 1, wait: float = 0) -> list[Delivery]:
        """Claim up to ``limit`` packages.

        Args:
            limit: never more than this many; a broker may return fewer.
            wait: seconds to wait for the first one when the queue is empty; a
                service may round it to whole seconds, and a broker without
                ``supports_blocking`` may return at once.

        Returns:
            Deliveries, the highest priority first where the broker has
            ``supports_priority``, and the oldest first among equal ones as far as the
            service keeps order; ``[]`` when nothing came in time.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement dequeue")

    def dequeue_bands(
        self, bands: Sequence[Broker], limit: int
    ) -> list[tuple[int, list[Delivery]]] | None:
        """Claim from several queues of the service in one step; see the setting ``bands``.

        It does not wait. A broker need not have it: then each queue is asked by itself.

        Args:
            bands: brokers of this kind, one for each queue, the most urgent one first.
            limit: at most so many deliveries of all queues together.

        Returns:
            The place of a queue in ``bands``, with what is claimed of it; ``[]`` when nothing
            waits; None where the service cannot do it in one step.
        """
        return None

    def acknowledge(self, receipt: Hashable) -> None:
        """Remove one delivery for good; doing it twice is harmless.

        A receipt is valid even after its lease: the first attempt to finish wins. It is
        also valid after a restart of a ``durable`` service.
        """
        self.acknowledge_many([receipt])

    def acknowledge_many(self, receipts: Sequence[Hashable]) -> None:
        """Remove several deliveries for good."""
        raise NotImplementedError(
            f"{type(self).__name__} must implement acknowledge_many"
        )

    def fail(self, receipt: Hashable) -> None:
        """Remove a delivery whose package could not be trusted or read."""
        self.acknowledge(receipt)

    def release(self, receipts: Sequence[Hashable], *, delay: float = 0) -> None:
        """Give claimed deliveries back, to be handed out again after ``delay`` seconds.

        The next delivery counts as a further attempt. Receipts that are no longer
        ours are passed over.

        Raises:
            Unsupported: ``supports_release`` is off.
        """
        raise self._unsupported("give a delivery back")

    def extend(self, receipts: Sequence[Hashable]) -> set[Hashable]:
        """Prolong leases to ``self.lease`` seconds from now.

        Returns:
            The receipts that are no longer ours: acknowledged, expired or claimed
            by somebody else.

        Raises:
            Unsupported: ``supports_extend`` is off.
        """
        raise self._unsupported("prolong a lease")

    # -- looking after -------------------------------------------------------
    def delete(self, id: str) -> bool:
        """Remove a waiting package by the id that ``enqueue`` returned.

        Returns:
            Whether it was there.

        Raises:
            Unsupported: ``supports_delete`` is off.
        """
        raise self._unsupported("delete a single package")

    def queue_size(self) -> int:
        """Return how many packages wait to be claimed.

        Raises:
            Unsupported: ``supports_counts`` is off.
        """
        raise self._unsupported("count its packages")

    def lock_size(self) -> int:
        """Return how many packages are claimed and not yet acknowledged.

        Raises:
            Unsupported: ``supports_counts`` or ``counts_claimed`` is off.
        """
        raise self._unsupported("count its claimed packages")

    def sizes(self) -> tuple[int | None, int | None]:
        """Return ``queue_size`` and ``lock_size``; None for a number that the broker cannot count."""
        if not self.supports_counts:
            return None, None
        return self.queue_size(), self.lock_size() if self.counts_claimed else None

    def oldest_waiting(self) -> float | None:
        """Return for how many seconds the longest waiting package could have been claimed.

        It counts from when the package was sent, its delay was over, or the lease of a
        claim ran out; a package that is still delayed does not wait. It must cost no
        more than a claim, for the monitor asks every second.

        Returns:
            None when no package waits, or where the broker cannot tell.
        """
        return None

    def ahead(self) -> float | None:
        """Return the seconds until a package may be claimed, for the clock of tests.

        Returns:
            Zero where one may be; None when there is no package, or where the broker
            cannot tell.
        """
        return None

    def delayed(self) -> list[tuple[float, bytes]]:
        """Return what may not be claimed yet, because it was delayed; for tests.

        Claimed packages are left out. It reads the whole queue.

        Returns:
            Of each package the seconds until it may be claimed, and the package; what
            comes first first.

        Raises:
            Unsupported: the broker cannot look at what it delays.
        """
        raise self._unsupported("look at its delayed packages")

    def purge_queue(self) -> None:
        """Remove every package from the queue, claimed ones included."""
        raise NotImplementedError(f"{type(self).__name__} must implement purge_queue")

    def delete_queue(self) -> None:
        """Remove the queue itself; the next ``enqueue`` makes it anew."""
        self.purge_queue()

    def ping(self) -> bool:
        """Return True when the service answers; raise ``BrokerUnavailable`` otherwise."""
        raise NotImplementedError(f"{type(self).__name__} must implement ping")

    def info(self) -> str:
        """Return name and version of the service, without secrets: ``Redis 7.0.15``."""
        raise NotImplementedError(f"{type(self).__name__} must implement info")

    def clock(self) -> float | None:
        """Return the service's clock in seconds since the epoch; None: it has none."""
        return None

    def diagnose(self) -> list[Finding]:
        """Return findings about the service, good and bad, for ``qcore doctor``.

        Such as: it deletes what it holds when memory is full, it keeps nothing on disk,
        it has too few connections. Make them with ``qcore.findings``: ``ok(fact)``,
        ``warning(fact, advice)``, ``error(fact, advice)``. What settings alone tell
        belongs in the hook ``qcore_checks``. Raises as ``ping``.
        """
        return []

    def close(self) -> None:
        """Let connections go; safe to call twice. The next call may connect again."""

    # -- status snapshots, where the cache cannot carry them -----------------
    def set_stat(self, key: str, value: bytes, ttl: float) -> None:
        """Keep a snapshot under a key for ``ttl`` seconds."""
        raise self._unsupported("carry status snapshots")

    def get_stats(self, prefix: str) -> list[bytes]:
        """Return the snapshots whose key begins with ``prefix`` and that have not expired."""
        raise self._unsupported("carry status snapshots")

    # -- for subclasses ------------------------------------------------------
    @classmethod
    def capabilities(cls) -> dict[str, bool]:
        """Return the capability flags by name: ``{"receipts": True, ...}``."""
        return {name: getattr(cls, f"supports_{name}") for name in CAPABILITIES}

    def check_size(self, packages: Iterable[bytes]) -> None:
        """Raise ``PayloadTooLarge`` for a package over ``max_payload``."""
        if self.max_payload is None:
            return
        for package in packages:
            if len(package) > self.max_payload:
                raise PayloadTooLarge(
                    f"the package has {len(package):,} bytes,"
                    f" {self.info_name()} takes up to {self.max_payload:,}. Store the"
                    " data elsewhere and pass a reference, or set 'compress': True."
                )

    def check_delay(self, delay: float) -> None:
        """Raise ``Unsupported`` for a delay that the broker cannot keep."""
        if delay and not self.supports_delay:
            raise self._unsupported("delay a package")

    def info_name(self) -> str:
        """Return the name of the service that limits ``max_payload``, without asking the service."""
        return type(self).__name__

    def _unsupported(self, what: str) -> Unsupported:
        return Unsupported(
            f"{type(self).__name__} cannot {what}; see `qcore plugins` for what each"
            " broker can do."
        )


#: Names of the capabilities; each has a flag ``supports_<name>`` on Broker.
CAPABILITIES = (
    "receipts",
    "bulk",
    "release",
    "delay",
    "extend",
    "blocking",
    "order",
    "priority",
    "delete",
    "counts",
    "durable",
    "transactional",
    "stats",
)
