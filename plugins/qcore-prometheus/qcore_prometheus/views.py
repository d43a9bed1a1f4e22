"""A view of Django: what all clusters of the project say of themselves.

It has no counters of attempts, which only dispatchers have.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from typing import TYPE_CHECKING

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from qcore.runtime import current
from qcore.status import running

from . import gauges

if TYPE_CHECKING:
    from prometheus_client.core import Metric


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Return the gauges of all clusters and queues of this project."""
    token = (current.conf.options.get("prometheus") or {}).get("token")
    if not token:
        return HttpResponse(
            "Set Q_CLUSTER['prometheus']['token'], and let Prometheus send it"
            " (authorization: credentials).\n",
            status=403,
            content_type="text/plain",
        )
    given = request.headers.get("Authorization", "")
    if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
        answer = HttpResponse("wrong token\n", status=401, content_type="text/plain")
        answer["WWW-Authenticate"] = "Bearer"
        return answer
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Project())
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(registry), content_type=content_type)


class _Project(Collector):
    """Collects for one request."""

    def collect(self) -> Iterator[Metric]:
        clusters = running()
        yield from gauges.of_clusters(clusters)
        for queue in sorted({current.conf.queue, *(one.queue for one in clusters)}):
            yield from gauges.of_queue(queue, clusters)
