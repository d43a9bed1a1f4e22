"""Fixtures: what ``loaddata`` is about to store, which calls no ``save``."""

from __future__ import annotations

from typing import Any

from django.db.models.signals import pre_save
from django.dispatch import receiver
from django.utils import timezone

from ..schedules import changes
from .schedules import Schedule


@receiver(pre_save, sender=Schedule, dispatch_uid="qcore.fixture")
def settle_schedule(
    sender: object, instance: Schedule, raw: bool, using: str, **_: Any
) -> None:
    """Put right a schedule of a fixture.

    A fixture is loaded again at each deployment, and its ``next_run`` is as old as it is.
    Where that has passed, the row goes on as it is, or by the rule that the fixture has.
    """
    if not raw:
        return
    rows = Schedule._base_manager.using(using)  # noqa: SLF001 - Django's way
    stored = rows.filter(pk=instance.pk).first()
    instance._settle()  # noqa: SLF001 - as save does
    now = timezone.now()
    if stored is None or now < instance.next_run != stored.next_run:
        return
    instance.next_run, instance.anchor = stored.next_run, stored.anchor
    if changes.rule_of(vars(instance)) != changes.rule_of(vars(stored)):
        instance._renew(now)  # noqa: SLF001 - as save does
