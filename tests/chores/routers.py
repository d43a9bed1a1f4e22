"""A router of databases that keeps qcore's tables apart from the project's."""

from __future__ import annotations

from typing import Any

#: App -> the database that its tables are in; those of all others are in `default`.
PLACES = {"qcore": "results", "qcore_orm": "queue"}


class Apart:
    def db_for_read(self, model: Any, **_: Any) -> str:
        return PLACES.get(model._meta.app_label, "default")

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, **_: Any) -> bool:
        return db == PLACES.get(app_label, "default")


class ResultsApart:
    """Results in a database of their own; schedules and the quarantine in the project's."""

    def db_for_read(self, model: Any, **_: Any) -> str:
        return "results" if model._meta.db_table == "qcore_task" else "default"

    db_for_write = db_for_read

    def allow_migrate(
        self, db: str, app_label: str, model_name: str | None = None, **_: Any
    ) -> bool:
        is_result = app_label == "qcore" and model_name in (
            "task",
            "success",
            "failure",
        )
        return db == ("results" if is_result else "default")


class Primary:
    """As in Django's manual: whatever is written is written to the primary."""

    def db_for_read(self, model: Any, **_: Any) -> str:
        return "default"

    db_for_write = db_for_read
