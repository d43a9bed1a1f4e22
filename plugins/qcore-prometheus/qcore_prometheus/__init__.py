"""Metrics of clusters for Prometheus: each dispatcher exports those of its own queue."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qcore import Setting, hookimpl

if TYPE_CHECKING:
    from qcore import Conf, Result
    from qcore.status import Snapshot

    from .exporter import Exporter

logger = logging.getLogger("qcore.prometheus")

#: Where a cluster exports its metrics unless the project says otherwise.
PORT, ADDRESS = 9809, "127.0.0.1"

#: The exporter of this process; only a dispatcher has one.
_running: dict[str, Exporter] = {}


@hookimpl
def qcore_settings() -> list[Setting]:
    """Describe what the plugin reads of Q_CLUSTER."""
    return [
        Setting(
            "prometheus",
            dict,
            "Metrics for Prometheus: where each cluster exports them. An empty dictionary"
            " exports them with the defaults.",
            keys=(
                Setting(
                    "port",
                    int,
                    "The port of the exporter. Each cluster of a machine needs its own:"
                    " set it in ALT_CLUSTERS, too.",
                    default=PORT,
                    minimum=1,
                    maximum=65_535,
                ),
                Setting(
                    "address",
                    str,
                    "The address that the exporter listens on. Whoever reaches it reads"
                    " the names of functions and queues.",
                    default=ADDRESS,
                ),
                Setting(
                    "functions",
                    tuple[str, ...] | None,
                    "The functions that get a label of their own; all others are"
                    " counted as `other`. None: the first 100 that are seen.",
                ),
                Setting(
                    "token",
                    str | None,
                    "What a request to the view of Django has to bring, as"
                    " `Authorization: Bearer TOKEN`. None: the view refuses all.",
                    secret=True,
                ),
            ),
            group="app",
        )
    ]


@hookimpl
def qcore_process_started(role: str, conf: Conf) -> None:
    """Start the exporter in the dispatcher, which knows what the cluster does."""
    options = conf.options.get("prometheus")
    if role != "dispatcher" or options is None:
        return
    from .exporter import Exporter

    exporter = Exporter(
        conf.queue,
        port=options.get("port", PORT),
        address=options.get("address", ADDRESS),
        functions=options.get("functions"),
    )
    try:
        exporter.start()
    except OSError as error:
        # a cluster without metrics is better than no cluster
        logger.error(
            "no metrics: cannot listen on %s, port %d: %s. Set"
            " Q_CLUSTER['prometheus']['port'] to a port that is free.",
            exporter.address, exporter.port, error,
        )  # fmt: skip
        return
    logger.info("metrics on http://%s:%d/metrics", exporter.address, exporter.port)
    _running["exporter"] = exporter


@hookimpl
def qcore_results_recorded(results: Sequence[Result]) -> None:
    """Count how attempts have ended."""
    if exporter := _running.get("exporter"):
        exporter.tally.add(results)


@hookimpl
def qcore_snapshot_taken(snapshot: Snapshot) -> None:
    """Keep what the cluster does now."""
    if exporter := _running.get("exporter"):
        exporter.snapshot = snapshot


@hookimpl
def qcore_process_stopping(role: str) -> None:
    """Stop the exporter."""
    if exporter := _running.pop("exporter", None):
        exporter.stop()
