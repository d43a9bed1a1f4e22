"""An error reporter that appends each failure to a file, as one line of JSON.

To make it yours, put your service in place of the file: the options in `__init__`, and
`_send`. The thread around it can stay.
"""

from __future__ import annotations

import json
import logging
import threading
import traceback
from collections import deque
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qcore import ErrorReporter
from qcore.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from qcore.reporters.base import Report

logger = logging.getLogger(__name__)

OPTIONS = {"path"}
SETTING = "Q_CLUSTER['error_reporter']['example']"

#: Failures that may wait for the service; above it the oldest are dropped.
LIMIT = 1000


class ExampleReporter(ErrorReporter):
    """Sends failures from a thread of its own, so that no task waits for the service.

    The thread ends when nothing waits, so that none is left behind in tests.

    Args:
        path: of the file; its folder exists.
    """

    def __init__(self, *, path: str | None = None, **unknown: Any) -> None:
        """Check the options; the file is not touched before the first failure."""
        super().__init__(path=path)
        for name in unknown:
            near = did_you_mean(name, OPTIONS)
            raise ConfigError(f"{SETTING}: unknown key {name!r}{near}")
        if not isinstance(path, str):
            raise ConfigError(f"{SETTING}['path'] must be the path of a file")
        self._path = Path(path)
        self._changed = threading.Condition()
        self._waiting: deque[dict[str, Any]] = deque(maxlen=LIMIT)
        self._sending = False  # a thread is there

    def report(self, report: Report) -> None:
        with self._changed:
            self._waiting.append(_document(report))
            if not self._sending:
                threading.Thread(target=self._run, daemon=True).start()
                self._sending = True

    def flush(self, timeout: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._sending, timeout)

    def _run(self) -> None:
        while (document := self._next()) is not None:
            try:
                self._send(document)
            except Exception as error:  # noqa: BLE001 - the next one may get through
                logger.warning("a failure was not reported: %s", error)

    def _next(self) -> dict[str, Any] | None:
        with self._changed:
            if self._waiting:
                return self._waiting.popleft()
            self._sending = False
            self._changed.notify_all()
            return None

    def _send(self, document: dict[str, Any]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(document, default=repr) + "\n")


def _document(report: Report) -> dict[str, Any]:
    """Return what is told of a failure; a worker that was killed left no traceback.

    ``args`` and ``kwargs`` are None unless the project has set ``report_args``.
    """
    lines = traceback.format_exception(*report.exc_info) if report.exc_info else []
    document = {one.name: getattr(report, one.name) for one in fields(report)}
    return {**document, "exception": "".join(lines)}
