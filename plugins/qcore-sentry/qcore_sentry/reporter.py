"""The error reporter of Sentry."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar, cast

import sentry_sdk
from sentry_sdk.integrations.logging import ignore_logger
from sentry_sdk.utils import event_from_exception

from qcore.reporters.base import ErrorReporter, Report

from . import events
from .options import init
from .running import scope_of

if TYPE_CHECKING:
    from sentry_sdk.types import Event

logger = logging.getLogger("qcore.reporter.sentry")

#: How the exception came here: uncaught, as far as the task is concerned.
MECHANISM = {"type": "qcore", "handled": False}

#: Their errors are not sent as events of their own. The first one tells of the failures
#: that are reported here. The second one is the log of the process that forks: a thread
#: that sends there could hold a lock that the child then waits for.
NOT_EVENTS = ("qcore.reporter", "qcore.reporter.*", "qcore.sentinel")


class SentryReporter(ErrorReporter):
    """Sends failed attempts to Sentry, from the background thread of ``sentry_sdk``.

    A project that calls ``sentry_sdk.init`` itself, in its settings for example, keeps
    what it has set up, and the options are not used.

    Args:
        options: those of ``sentry_sdk.init``. ``include_local_variables`` is False
            unless it is given.

    Raises:
        ConfigError: an option is unknown, or the DSN is missing or wrong.
    """

    #: The client that was made here last, and from which options.
    _made: ClassVar[tuple[object, dict[str, Any]] | None] = None

    def __init__(self, **options: Any) -> None:
        options.pop("check_ins", None)  # is read where schedules run
        super().__init__(**options)
        for name in NOT_EVENTS:
            ignore_logger(name)
        self._set_up()

    def _set_up(self) -> None:
        """Initialise sentry_sdk, unless somebody has, or this has with these options."""
        client = sentry_sdk.get_client()
        made, before = self._made or (None, {})
        if client.is_active() and client is not made:
            logger.debug("sentry_sdk is initialised by the project, and used as it is")
        elif not client.is_active() or before != self.options:
            init(self.options)
            client.close()  # the one before: sends what is left, and ends its threads
            SentryReporter._made = (sentry_sdk.get_client(), self.options)

    def report(self, report: Report) -> None:
        """Queue an event; Sentry's thread sends it, and drops it when 100 are waiting."""
        event, hint = self._event(report)
        with scope_of(report.task_id):
            sentry_sdk.capture_event(cast("Event", event), hint)

    def _event(self, report: Report) -> tuple[events.Event, dict[str, Any]]:
        info = report.exc_info
        if info is None:
            return events.message(report), {}
        client_options = sentry_sdk.get_client().options
        found, hint = event_from_exception(info, client_options, MECHANISM)
        event = events.without_our_variables(cast("events.Event", found))
        return {**event, **events.describe(report)}, hint

    def flush(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds until the queue is empty."""
        sentry_sdk.flush(timeout=timeout)
