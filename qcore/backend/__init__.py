"""The backend of ``django.tasks``: Django's own ``@task`` on every broker of qcore.

::

    TASKS = {"default": {"BACKEND": "qcore.backend.QcoreBackend"}}

It needs Django 6, or Django 5.2 with the package ``django-tasks``.
"""

from __future__ import annotations

from . import calling  # noqa: F401 - where workers find it: "qcore.backend:calling"
from .backend import QcoreBackend
from .twins import DummyBackend, ImmediateBackend

__all__ = ["DummyBackend", "ImmediateBackend", "QcoreBackend"]
