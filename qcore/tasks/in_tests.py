"""In tests: what is sent with a commit that never comes, for a test undoes its transaction.

A plugin sends what follows from its rows with their commit. With the fixture ``qcore_queue``
such tasks go to the queue in memory when the test looks at it, unless what they follow from
was undone by then.
"""

from __future__ import annotations

from collections.abc import Callable


class SentInTest:
    """Sends tasks of a test: on commit, or when the test looks at its queue.

    Args:
        deliver: sends them.
    """

    def __init__(self, deliver: Callable[[], None]) -> None:
        self._deliver = deliver

    def __call__(self) -> None:
        """Send them."""
        self._deliver()


def send_waiting() -> None:
    """Send what tests have waiting for the commits of transactions that are open here."""
    from django.db import connections

    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            continue
        # Django takes out what was registered in a savepoint that was undone
        waiting = connection.run_on_commit
        if not any(isinstance(entry[1], SentInTest) for entry in waiting):
            continue
        connection.run_on_commit = [
            entry for entry in waiting if not isinstance(entry[1], SentInTest)
        ]
        for entry in waiting:
            if isinstance(entry[1], SentInTest):
                entry[1]()
