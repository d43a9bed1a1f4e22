"""Runs in: the dispatcher's threads. Keeps a thread going, whatever is raised in it.

Brokers, stores, caches, schedulers and reporters may be plugins of strangers. An error in
one of them costs one round of one thread, and not the dispatcher with all running tasks.
The thread logs the error, shows it in the status while it lasts, and waits.
``sys.exit`` and ``CancelledError`` are no ``Exception``, but count as errors here: they
would end the thread, and with it the dispatcher.
"""

from __future__ import annotations

import logging
import threading

from ...brokers.base import Broker
from ...errors import QcoreError
from ...masking import mask_url
from ...schedules.base import Scheduler
from ..services import Features, Ticking, Watching
from ..system.process import LONGEST_WAIT
from .outages import Outage
from .state import SharedState


class Guard:
    """Handles the unforeseen errors of one thread.

    Args:
        who: the thread's name, for the log and the status.
        shared: where the problem is shown while it lasts.
        what: of several threads of one name, what this one works for.
    """

    def __init__(self, who: str, shared: SharedState, what: str = "") -> None:
        self._logger = logging.getLogger(f"qcore.{who}")
        self._outage = Outage(who, shared, what=what)
        self._told: str | None = None  # the last error whose traceback is in the log

    def wait_out(self, error: BaseException) -> None:
        """Log the error of a round, and wait before the next round.

        An error that nobody has foreseen is logged with its traceback, once.
        """
        self._outage.wait_out(error if self._is_foreseen(error) else _named(error))

    def note(self, what: str, error: BaseException) -> None:
        """Log the error of one item; do not wait."""
        if self._is_foreseen(error):
            self._logger.warning("%s: %s", what, error)
        else:
            self._logger.warning("%s: %s", what, _named(error))

    def over(self) -> None:
        """Note that a round has worked."""
        self._outage.over()
        self._told = None

    def _is_foreseen(self, error: BaseException) -> bool:
        if isinstance(error, QcoreError):
            return True
        kind = f"{type(error).__name__} at {_place(error)}"
        if kind != self._told:
            self._logger.error("an unexpected error", exc_info=error)
        self._told = kind
        return False


def close(
    what: Broker | Scheduler | Ticking | Watching | Features | None, who: str
) -> None:
    """Close a connection at the end of a thread; a broken connection counts as closed.

    Args:
        what: is closed; None where it was never made.
        who: the thread's name, for the log.
    """
    if what is None:
        return
    try:
        what.close()
    except Exception as error:  # noqa: BLE001 - the stop is in order all the same
        logger = logging.getLogger(f"qcore.{who}")
        logger.warning("%s is not closed: %s", type(what).__name__, _named(error))


def pause(event: threading.Event, seconds: float) -> bool:
    """Wait for an event, as long as a lock can wait at most; return whether it is set."""
    return event.wait(min(max(0.0, seconds), LONGEST_WAIT))


def _named(error: BaseException) -> QcoreError:
    """Return an error as one line with its kind and without secrets."""
    return QcoreError(f"{type(error).__name__}: {mask_url(str(error))}")


def _place(error: BaseException) -> str:
    """Return where an error was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return (
        "?" if trace is None else f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}"
    )
