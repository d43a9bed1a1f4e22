"""Runs in: recorder and pusher. Whether an error of a store passes, or is a refusal.

The class of most errors tells. For the others, the store is asked whether it takes a small
result. If it does, and refuses one certain result again and again, it will never take that
result.
"""

from __future__ import annotations

import logging

from ...errors import (
    PackageError,
    QcoreError,
    SerializeError,
    StoreError,
    StoreRefused,
    StoreUnavailable,
)
from ..services import Services

logger = logging.getLogger("qcore.recorder")


class Refusals:
    """Judges errors of stores.

    Args:
        services: what the cluster is made of.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    def is_refusal(self, error: Exception, route: str) -> bool:
        """Whether trying again is useless: the store takes other results, and not this.

        Args:
            error: by a store, or by a broker in its transaction.
            route: of the store.
        """
        if isinstance(error, StoreRefused | SerializeError | PackageError):
            return True
        if isinstance(error, StoreUnavailable):
            return False
        if isinstance(error, QcoreError) and not isinstance(error, StoreError):
            return False  # the broker is away, or a setting is wrong
        return self.answers(route)

    def may_be_refusal(self, error: Exception, route: str) -> bool:
        """Whether an error "away" may be a refusal, because the store answers.

        A lock is never a refusal: it passes.
        """
        if isinstance(error, StoreUnavailable):
            return self.answers(route)
        return self.is_refusal(error, route)

    def answers(self, route: str) -> bool:
        """Whether the store of a route takes a small result, now."""
        try:
            self._services.make_store().part(route).ping()
        except Exception as error:  # noqa: BLE001 - stores are plugins
            logger.debug("the store takes nothing: %s", error)
            return False
        return True
