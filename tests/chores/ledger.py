"""The ledger of the kit, under the name that the chores know it by."""

from __future__ import annotations

from qcore.testing.ledger import VARIABLE, Entry, Ledger, note, wait_for

__all__ = ["VARIABLE", "Entry", "Ledger", "note", "wait_for"]
