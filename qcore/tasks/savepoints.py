"""Savepoints: a transaction around an inline task stays usable, whatever the task does.

Where ``sync`` or ``drain`` runs a task inside a transaction (of a ``TestCase``, or of a
request), a statement of the task that fails would break that transaction for its result
and for everybody after it, and the error that is told would be that of the next statement.
In a cluster it would break nothing, for there a task has no transaction around it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager

logger = logging.getLogger("qcore.worker")


@contextmanager
def kept_usable() -> Generator[None]:
    """Keep the transactions that are open here usable after the block.

    What the block writes stays, also where it fails, as in a cluster; only where a
    database takes no more statements is it rolled back to the beginning of the block.
    """
    from django.db import connections

    with ExitStack() as stack:
        for connection in connections.all(initialized_only=True):
            if connection.in_atomic_block:
                stack.enter_context(_savepoint(connection.alias))
        yield


@contextmanager
def _savepoint(alias: str) -> Generator[None]:
    from django.db import DatabaseError, transaction

    point = transaction.atomic(using=alias)
    point.__enter__()  # by hand: its end is not to raise
    try:
        yield
    except BaseException:
        point.__exit__(*sys.exc_info())
        raise
    try:
        point.__exit__(None, None, None)
    except DatabaseError as error:
        # Django has rolled back to the savepoint; the task has told of its own error
        logger.debug("a task broke the transaction around it on %r: %s", alias, error)
