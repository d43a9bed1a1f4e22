"""The ledger of the kit, under the name that the chores know it by.

A task that must still run while the test does something is ``chores.kind.hold``: it goes on
when the test says `let_go`, and no machine is too slow for that.
"""

from __future__ import annotations

from qcore.testing.ledger import VARIABLE, Entry, Ledger, note, wait_for

__all__ = ["LET_GO", "VARIABLE", "Entry", "Ledger", "let_go", "note", "wait_for"]

#: The entry that ends ``chores.kind.hold``.
LET_GO = "let go"


def let_go(key: str) -> None:
    """End the tasks ``hold`` of this key, those that run and those that begin later."""
    note(key, LET_GO)
