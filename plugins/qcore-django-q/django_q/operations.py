"""Operations of the migrations: models that become proxies once qcore has its tables.

While a database of django-q is being migrated, Django works with the state of what was
applied so far: the migrations of django-q, and none of qcore. In that state the models are
those of the old tables.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations, models
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ModelState, ProjectState

from .moving.tables import TABLES

#: Model -> its base in qcore, and its table in django-q.
BASES = {
    "Schedule": ("qcore.schedule", "django_q_schedule"),
    "Task": ("qcore.task", "django_q_task"),
    "OrmQ": ("qcore_orm.ormq", "django_q_ormq"),
}


class CreateProxy(migrations.CreateModel):
    """Makes a proxy; in a state without its base, the model of the old table."""

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Add the model to a state."""
        base, table = BASES[self.name]
        app, _, name = base.partition(".")
        if (app, name) in state.models:
            super().state_forwards(app_label, state)
            return
        state.add_model(
            ModelState(
                app_label,
                self.name,
                [(column, make()) for column, make in TABLES[table].items()],
                {"db_table": table, "managed": False},
                (models.Model,),
            )
        )


class BecomeProxies(Operation):
    """Makes proxies of the models of the old tables, where a state has them still.

    Args:
        proxies: as ``0001_qcore`` makes them.
    """

    reduces_to_sql = False
    reversible = True

    def __init__(self, proxies: list[CreateProxy]) -> None:
        self.proxies = proxies

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Change a state."""
        for proxy in self.proxies:
            key = (app_label, proxy.name_lower)
            if not state.models[key].options.get("proxy"):
                del state.models[key]
                state.models[key] = ModelState(
                    app_label,
                    proxy.name,
                    list(proxy.fields),
                    dict(proxy.options),
                    tuple(proxy.bases or ()),
                    list(proxy.managers or ()),
                )
        # what was drawn from the state before is drawn anew
        state.__dict__.pop("apps", None)
        state._relations = None  # type: ignore[attr-defined]  # noqa: SLF001

    def database_forwards(self, *_: Any) -> None:
        """Change nothing: a proxy has no table."""

    def database_backwards(self, *_: Any) -> None:
        """Change nothing."""

    def describe(self) -> str:
        """Say what it does."""
        return "Use the tables of qcore"
