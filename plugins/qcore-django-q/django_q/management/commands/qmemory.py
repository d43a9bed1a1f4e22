"""``manage.py qmemory``: the command of qcore."""

from __future__ import annotations

from qcore.management.commands.qmemory import Command as QcoreCommand


class Command(QcoreCommand):
    """The command of qcore."""
