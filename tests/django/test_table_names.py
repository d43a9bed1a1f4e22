"""Names in the database: PostgreSQL has one list for tables, indexes and unique constraints."""

from __future__ import annotations

import itertools

from django.apps import apps


def test_no_index_or_constraint_has_the_name_of_a_table():
    """Else `migrate` fails on PostgreSQL, and on no other database."""
    models = [
        model
        for config in apps.get_app_configs()
        if config.label.startswith("qcore")
        for model in config.get_models(include_auto_created=True)
        if not model._meta.proxy
    ]
    names = list(
        itertools.chain.from_iterable(
            [
                model._meta.db_table,
                *(one.name for one in model._meta.indexes),
                *(one.name for one in model._meta.constraints),
            ]
            for model in models
        )
    )
    assert len(names) > len(models)
    assert sorted(names) == sorted(set(names))
