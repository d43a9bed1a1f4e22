"""The exporter of one dispatcher: a small server for HTTP, in threads of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import Thread
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.registry import Collector

from . import gauges
from .functions import Functions
from .tally import Tally

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from qcore.status import Snapshot

#: Seconds that the server has to end.
_END = 2.0


class Exporter(Collector):
    """Collects and serves the metrics of one cluster.

    Args:
        queue: of the cluster.
        port: where it listens.
        address: of this machine, that it listens on.
        functions: those with a label of their own; see ``Functions``.
    """

    def __init__(
        self,
        queue: str,
        *,
        port: int,
        address: str,
        functions: Sequence[str] | None = None,
    ) -> None:
        self._queue = queue
        self.address = address
        self.port = port
        self.tally = Tally(queue, Functions(functions))
        #: The newest one; None until the first is taken.
        self.snapshot: Snapshot | None = None
        self._server: WSGIServer | None = None
        self._thread: Thread | None = None

    def start(self) -> None:
        """Serve until ``stop``.

        Raises:
            OSError: the port is taken, or the address is not of this machine.
        """
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        self._server, self._thread = start_http_server(
            self.port, self.address, registry
        )

    def stop(self) -> None:
        """End the server."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join(_END)

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics; called for each scrape, in a thread of the server."""
        yield from self.tally.metrics()
        if self.snapshot is None:
            return
        yield from gauges.of_clusters([self.snapshot])
        yield from gauges.of_queue(self._queue, [self.snapshot])
