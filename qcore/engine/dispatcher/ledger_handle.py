"""Runs in: recorder and pusher. The handle of one thread for the ledger of the project."""

from __future__ import annotations

from ...errors import LedgerError
from ..services import LedgerLike, Services


class LedgerHandle:
    """Makes the ledger of one thread on first use, and looks whether its tables are there.

    Args:
        services: what the cluster is made of.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._is_made = False
        self._ledger: LedgerLike | None = None

    def ledger(self) -> LedgerLike | None:
        """Return the ledger; None where there is none, or where its tables are missing.

        A ledger whose database does not answer is returned all the same: whoever needs the
        ledger must wait for it.
        """
        if not self._is_made:
            self._ledger = self._services.make_ledger()
            self._is_made = True
        if self._ledger is None:
            return None
        try:
            return self._ledger if self._ledger.is_ready else None
        except LedgerError:
            return self._ledger

    def require(self) -> LedgerLike:
        """Return the ledger, for what cannot be done without it.

        Raises:
            LedgerError: there is none, or its tables are missing.
        """
        if (ledger := self.ledger()) is None:
            raise LedgerError(
                "the tables of the ledger are missing: run python manage.py migrate"
            )
        return ledger

    def answers(self) -> bool:
        """Whether a ticket can be written to the ledger now."""
        ledger = self.ledger()
        if ledger is None:
            return False
        try:
            ledger.ping()
        except LedgerError:
            return False
        return True
