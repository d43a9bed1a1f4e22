"""``django_q`` for qcore: what projects of django-q and django-q2 import and set up.

The package is a plugin of qcore (the hooks below) and a Django app. Its modules have the
names that projects know, and each does its work through the public API of qcore::

    tasks conf signals models admin     what nearly every project imports
    brokers                             old broker classes, and how qcore runs them
    cluster status monitor_terminal     clusters, and what they say of themselves
    pusher worker monitor scheduler     one pass of each, for tests that run in one process
    settings                            Q_CLUSTER as django-q reads it
    moving                              qcore migrate-from django_q

Importing it imports nothing of Django.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qcore import hookimpl

if TYPE_CHECKING:
    from qcore import Conf

#: The version of django-q2 whose names this package has.
VERSION = (1, 11, 0)

__all__ = ["VERSION", "cluster", "conf", "models", "tasks"]


@hookimpl
def qcore_adapt_settings(
    options: Mapping[str, Any], known: frozenset[str]
) -> Mapping[str, Any] | None:
    """Read ``Q_CLUSTER`` as django-q does, in projects that have ``django_q`` installed."""
    from .settings import adapt, is_used

    return adapt(options, known).options if is_used() else None


@hookimpl
def qcore_checks(conf: Conf) -> list[Any]:
    """Return what is read in another way than it is written."""
    from .checks import check

    return check(conf)
