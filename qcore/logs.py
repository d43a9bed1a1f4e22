"""The log of qcore: nothing in it acts on a terminal or forges a line.

A filter on each logger, and not on a handler, for handlers are the project's.
"""

from __future__ import annotations

import logging

from .masking import mask_url
from .printable import printable, printable_lines

#: Every logger of the core and of the plugins that come with it; a test reads the sources.
LOGGERS = (
    "qcore.admin",
    "qcore.broker",
    "qcore.cache",
    "qcore.cluster",
    "qcore.dispatcher",
    "qcore.doctor",
    "qcore.orm",
    "qcore.outbox",
    "qcore.plugins",
    "qcore.pusher",
    "qcore.recorder",
    "qcore.relay",
    "qcore.renewal",
    "qcore.reporter",
    "qcore.reporter.rollbar",
    "qcore.reporter.sentry",
    "qcore.runtime",
    "qcore.scheduler",
    "qcore.sending",
    "qcore.sentinel",
    "qcore.status",
    "qcore.worker",
)

_plain = logging.Formatter()


class PrintableFilter(logging.Filter):
    """Lets every record through, its message as one printable line.

    The text of a traceback keeps its lines. A record that is printable as it is, as
    nearly all are, keeps its message and its arguments apart.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Make a record printable, in place."""
        if not _is_plain(record):
            try:
                message = record.getMessage()
            except Exception:  # noqa: BLE001 - the handler tells of it, as always
                return True
            if not message.isprintable():
                record.msg, record.args = printable(message), None
        if record.exc_info and not record.exc_text:
            trace = _plain.formatException(record.exc_info)
            # drivers like to say the whole URL of what they cannot reach
            shown = printable_lines(mask_url(trace))
            if shown != trace:
                record.exc_text = shown  # which formatters then use
        return True


def _is_plain(record: logging.LogRecord) -> bool:
    """Whether a record is printable beyond doubt: the line of a task is told for each."""
    args = record.args
    if type(record.msg) is not str or not record.msg.isprintable():
        return False
    if type(args) is not tuple:
        return not args
    for arg in args:
        if isinstance(arg, str):
            if not arg.isprintable():
                return False
        elif not isinstance(arg, int | float):
            return False
    return True


_filter = PrintableFilter()


def keep_printable(*others: logging.Handler) -> None:
    """Have all loggers of qcore write what is printable, and these handlers, too.

    Args:
        others: handlers that get the records of other loggers besides.
    """
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_filter)  # once, however often it is added
    for handler in others:
        handler.addFilter(_filter)
