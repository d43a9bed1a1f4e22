"""The table of packages that could not be trusted or read."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone

from .fields import BodyField, WordField

#: Bytes of a package that are kept: more than any package of ours has by default.
KEPT = 2 * 1024 * 1024
#: Bytes that people are shown.
SHOWN = 64
#: Packages that the table keeps, the newest ones; and their bytes together. Somebody who
#: can write to a queue could fill the disk otherwise.
MOST = 1000
MOST_BYTES = 32 * 1024 * 1024
#: The reason of the row that says how many there were before those.
DROPPED = "Dropped"


class Quarantine(models.Model):
    """A package that was taken off its queue because it could not be run.

    It was forged, garbled, or signed with a key that is not in use. It is kept so
    that a person can find out which, and nothing in it is ever decoded here.
    """

    at = models.DateTimeField(default=timezone.now, db_index=True, editable=False)
    queue = WordField(max_length=255, editable=False)
    reason = WordField(max_length=64, editable=False)
    detail = BodyField(editable=False)
    size = models.IntegerField("size (bytes)", editable=False)
    package = models.BinaryField(editable=False)

    class Meta:
        ordering: ClassVar = ["-at", "-id"]
        verbose_name = "quarantined package"
        default_permissions = ("view", "delete")

    def __str__(self) -> str:
        return f"{self.reason}, {self.size} bytes, from {self.queue}"

    @classmethod
    def dropped(cls) -> int:
        """Return how many packages have given way to newer ones."""
        return sum(row.count_dropped() for row in cls.objects.filter(reason=DROPPED))

    def count_dropped(self) -> int:
        """Return how many packages this row stands for, of the reason ``DROPPED``."""
        number = self.detail.partition(" ")[0]
        return int(number) if number.isdigit() else 0

    def first_bytes(self) -> str:
        """Return the beginning of the package, printable."""
        return repr(bytes(self.package[:SHOWN]))
