"""The tables of qcore: whether they are there, and whether a project keeps its data there.

The pages of the admin, ``qcore quarantine`` and ``qcore doctor`` read those tables. Where the
settings select another store or scheduler, the tables are empty, or not there at all: an
answer from them would be wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connections, router

from ..errors import QcoreError
from ..masking import mask_url
from ..runtime import current

if TYPE_CHECKING:
    from django.db.models import Model

RESULTS = "result store"
SCHEDULES = "scheduler"

_KEPT = {RESULTS: "results and quarantined packages", SCHEDULES: "schedules"}


def kept_elsewhere(kind: str) -> str | None:
    """Return who keeps what the tables of qcore do not; None where they do.

    Args:
        kind: ``RESULTS`` or ``SCHEDULES``.
    """
    try:
        choice = current.choice(kind)
        if issubclass(choice.load(), _own(kind)):
            return None
        who = f"the {kind} {choice.label}, which Q_CLUSTER[{choice.because!r}] selects"
    except QcoreError as error:
        who = f"a {kind} that cannot be had ({mask_url(str(error))})"
    return f"{_KEPT[kind]} are kept by {who}, and not in the tables of qcore"


def exists(model: type[Model]) -> bool:
    """Return whether the table of a model can be read."""
    alias = router.db_for_read(model)
    try:
        names = connections[alias].introspection.table_names()
    except (Error, ImproperlyConfigured):
        return False
    return model._meta.db_table in names  # noqa: SLF001 - Django's public name of it


def tables_of(label: str, alias: str) -> frozenset[str]:
    """Return the names of the tables that an app has in a database.

    Args:
        label: of the app.
        alias: of the database.
    """
    return frozenset(
        model._meta.db_table  # noqa: SLF001 - Django's public name of it
        for model in apps.get_app_config(label).get_models()
        if model._meta.managed and router.allow_migrate_model(alias, model)  # noqa: SLF001
    )


def _own(kind: str) -> type[Any]:
    """Return the class of qcore that keeps a kind in its tables."""
    if kind == RESULTS:
        from ..results.orm import OrmStore

        return OrmStore
    from ..schedules.orm import OrmScheduler

    return OrmScheduler
