"""The error reporter of Rollbar."""

from __future__ import annotations

import logging
import threading
from typing import Any

import rollbar
from rollbar.lib import events

from qcore.reporters.base import ErrorReporter, ExcInfo, Report

from . import items
from .options import init

logger = logging.getLogger("qcore.reporter.rollbar")

#: Items that may be on their way at a time; rollbar starts a thread for each.
MAX_UNDER_WAY = 50


class RollbarReporter(ErrorReporter):
    """Sends failed attempts to Rollbar, from threads of ``rollbar``.

    A project that calls ``rollbar.init`` itself keeps what it has set up, and the
    options are not used.

    Args:
        options: those of ``rollbar.init``. ``locals`` has ``enabled`` False unless it
            is given, and the log of the project is left alone.

    Raises:
        ConfigError: the access token is missing.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._is_behind = False
        if rollbar._initialized:  # noqa: SLF001 - it has no public name for it
            logger.debug("rollbar is initialised already, and used as it is")
        else:
            init(options)
        # added once, however often it is asked for
        events.add_payload_handler(items.without_our_variables)

    def report(self, report: Report) -> None:
        """Hand an item to a thread; it is dropped when 50 of them are under way."""
        if self._must_drop():
            return
        info = report.exc_info
        custom, data = items.custom(report), items.data(report)
        if info is None or not _has_text(info):
            rollbar.report_message(items.message(report), "error", None, custom, data)
        else:
            rollbar.report_exc_info(info, None, custom, data, level="error")

    def _must_drop(self) -> bool:
        """Whether rollbar has too much under way; the first time is logged."""
        under_way = rollbar._threads.qsize()  # noqa: SLF001 - what its wait() waits for
        behind = under_way >= MAX_UNDER_WAY
        if behind and not self._is_behind:
            logger.warning("%d reports are on their way to Rollbar, and the next ones"
                           " are dropped until there are fewer", under_way)  # fmt: skip
        self._is_behind = behind
        return behind

    def flush(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds until everything is sent."""
        # rollbar's own wait has no end while Rollbar does not answer
        waiting = threading.Thread(target=rollbar.wait, daemon=True)
        waiting.start()
        waiting.join(timeout)


def _has_text(info: ExcInfo) -> bool:
    """Whether an exception and its causes can be shown; rollbar needs their texts."""
    error: BaseException | None = info[1]
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        try:
            str(error)
        except Exception:  # noqa: BLE001 - a task may raise anything at all
            return False
        error = error.__cause__ or error.__context__
    return True
