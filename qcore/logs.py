"""The log of qcore: nothing in it acts on a terminal or forges a line.

A filter on each logger, and not on a handler, for handlers are the project's.
"""

from __future__ import annotations

import logging

from .masking import mask_url
from .printable import printable, printable_lines
from .running import RUNNING

#: Every logger of the core and of the plugins that come with it; a test reads the sources.
LOGGERS = (
    "qcore.admin",
    "qcore.backend",
    "qcore.broker",
    "qcore.cache",
    "qcore.cluster",
    "qcore.control",
    "qcore.dashboard",
    "qcore.dispatcher",
    "qcore.doctor",
    "qcore.features",
    "qcore.flows",
    "qcore.limits",
    "qcore.orm",
    "qcore.otel",
    "qcore.outbox",
    "qcore.plugins",
    "qcore.prometheus",
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
    "qcore.sweeps",
    "qcore.tracking",
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


class TaskFilter(logging.Filter):
    """Lets every record through, with the task that it was made in.

    A record gets ``task_id``, ``task_name``, ``queue`` and ``attempt``, which a format can
    name: ``"%(levelname)s %(task_id)s %(message)s"``. Add the filter to a handler.

    Args:
        name: of a logger; only its records get the attributes, as in ``logging.Filter``.
        default: what each of them is for a record that was made outside of a task.
    """

    def __init__(self, name: str = "", default: str | None = None) -> None:
        super().__init__(name)
        self.default = default

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the attributes, in place; the values of ``extra`` stay."""
        running = RUNNING.get() if super().filter(record) else None
        values: tuple[object, ...] = (self.default,) * len(_ATTRIBUTES)
        if running is not None:
            task, attempt, *_ = running
            values = (task.id, task.name, task.queue, attempt)
        for name, value in zip(_ATTRIBUTES, values, strict=True):
            record.__dict__.setdefault(name, value)
        return True


_ATTRIBUTES = ("task_id", "task_name", "queue", "attempt")


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
