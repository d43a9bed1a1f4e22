"""Exceptions of django-q, as what qcore raises."""

from __future__ import annotations

from qcore.errors import TaskTimeout as TimeoutException

__all__ = ["TimeoutException"]
