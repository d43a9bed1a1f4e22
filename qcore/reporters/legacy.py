"""Reporters made for django-q: classes of the entry-point group djangoq.errorreporters.

They are called with the keywords of their settings, and have a ``report`` without
arguments that is called inside an ``except`` block. They go on working, each under the
name of its entry point; what a plugin of qcore provides wins over one of the same name.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any

from ..errors import PluginBroken, WorkerDied
from ..plugins import Plugin, Provider
from .base import ErrorReporter, Report

logger = logging.getLogger("qcore.plugins")

GROUP = "djangoq.errorreporters"
KIND = "error reporter"


class LegacyProvider(Provider):
    """Makes a class of that group into an error reporter."""

    def load(self) -> type[ErrorReporter]:
        """Import the class and return an error reporter that calls it.

        Raises:
            PluginBroken: it is not there, or it has no ``report``.
        """
        found = super().load()
        if not callable(getattr(found, "report", None)):
            raise PluginBroken(
                f"{self.name!r} is {self.target!r}, which has no method report(), so it"
                f" is no error reporter of the group {GROUP}"
            )

        class Adapted(LegacyReporter):
            __doc__ = f"Calls ``{self.target}``."
            made_for_django_q = staticmethod(found)

        return Adapted


class LegacyReporter(ErrorReporter):
    """Calls a reporter made for django-q in the way that it expects."""

    made_for_django_q: Any

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._reporter = self.made_for_django_q(**options)

    def report(self, report: Report) -> None:
        """Call its ``report`` where ``sys.exc_info()`` is the failure.

        A killed worker has left no exception, so there it is a ``WorkerDied``.
        """
        error = report.exception or WorkerDied(report.message)
        trace = error.__traceback__
        # django-q-sentry looks through the frames for a dict of this name and keys
        task = {"id": report.task_id, "name": report.task_name, "func": report.func}
        try:
            raise error
        except BaseException:  # noqa: BLE001 - a task may raise anything at all
            self._reporter.report()
        finally:
            error.__traceback__ = trace  # without the frame that was added here
            del task


def installed() -> Iterator[Plugin]:
    """Yield what is installed of that group, each as a plugin with one provider.

    django-q and django-q2 name ``rollbar`` and ``sentry`` for distributions that need
    not be there; so an entry point whose package is not installed is passed over.
    """
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        if not _is_there(point):
            logger.debug("no package for %s = %s of %s", point.name, point.value, GROUP)
            continue
        claims = (f"error_reporter.{point.name}",)
        provider = LegacyProvider(point.name, point.value, claims)
        yield Plugin(
            name=point.name,
            distribution=point.dist.name if point.dist else GROUP,
            version=point.dist.version if point.dist else "",
            module=point.value,
            providers={KIND: [provider]},
        )


def _is_there(point: EntryPoint) -> bool:
    try:
        return find_spec(point.module.partition(".")[0]) is not None
    except (AttributeError, ImportError, ValueError):
        return False  # no name of a module, or one that is half imported
