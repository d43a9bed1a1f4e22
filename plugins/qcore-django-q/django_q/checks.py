"""System checks: what of ``Q_CLUSTER`` is read in another way than it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qcore import Conf


def check(conf: Conf) -> list[Any]:
    """Return one warning for each note of ``settings.adapt``."""
    from django.conf import settings
    from django.core import checks

    from qcore.plugins.known import KEYS
    from qcore.runtime import current

    from .settings import adapt, is_used

    if not is_used():
        return []
    registry = current.registry
    names = {setting.name for setting in (*_own(), *registry.settings())}
    known = names | {claim.partition(".")[0] for claim in registry.claims()} | KEYS
    notes = adapt(getattr(settings, "Q_CLUSTER", {}), known).notes
    found = [checks.Warning(one.message, hint=one.hint, id=one.id) for one in notes]
    choice = current.choice("broker")
    if choice.is_default and choice.name != "redis":
        found.append(
            checks.Warning(
                "Q_CLUSTER selects no broker. django-q would use Redis at localhost;"
                f" tasks go to {choice.label}, for qcore-redis is not installed.",
                hint="Install the extra redis of qcore, or write 'orm': 'default'.",
                id="django_q.W005",
            )
        )
    return found


def _own() -> Any:
    from qcore.conf import fields

    return fields()
