"""``manage.py qinfo``, as a class that projects can inherit from."""

from __future__ import annotations

from qcore.management.commands.qinfo import Command as QcoreCommand


class Command(QcoreCommand):
    """The command of qcore."""
