"""Flows for qcore: tasks that belong together.

The package is a plugin (the hooks below) and a Django app (``apps.py``, models,
migrations). Importing it does not import Django::

    models    the tables: flows (batches and graphs), and durable steps
    steps     durable steps
"""

from __future__ import annotations

from typing import Any

from qcore import hookimpl

__all__: list[str] = []


@hookimpl
def qcore_checks(conf: Any) -> list[Any]:
    """Return what is wrong with the app, as Django check messages."""
    from .checks import check

    return check()
