"""Whether the tables are there that this version of qcore works with."""

from __future__ import annotations

import pkgutil
from collections.abc import Collection, Iterator
from importlib import import_module

import msgspec
from django.apps import apps
from django.db import connections, router
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from ..models.tables import tables_of
from ..runtime import current

#: What Django takes where DATABASES does not say.
_NO_ENGINE = "django.db.backends.dummy"


class Tables(msgspec.Struct, frozen=True):
    """The state of one app's tables in one database."""

    alias: str
    app: str
    unapplied: tuple[str, ...]
    """Migrations of this version that the database does not have."""
    absent: tuple[str, ...]
    """Tables that are not there, though every migration has been applied."""
    newer: tuple[str, ...]
    """Migrations of a later version: what an update does first, and no fault."""

    @property
    def fault(self) -> str | None:
        """What is missing and what to type, or None."""
        if self.unapplied:
            what = f"migrations are missing: {', '.join(self.unapplied)}"
        elif self.absent:
            what = f"tables are missing: {', '.join(self.absent)}"
        else:
            return None
        return (
            f"the database {self.alias!r} is not ready for {self.app}: {what}. Run:"
            f" python manage.py migrate {self.app} --database={self.alias}"
        )


def required() -> dict[str, set[str]]:
    """Return the databases in use by alias, and the labels of the apps in each.

    A project whose results and schedules are not in the tables of qcore needs none.

    Raises:
        ConfigError, PluginError: there is no broker to ask.
    """
    found: dict[str, set[str]] = {}
    for used in (current.broker(), current.store(), current.scheduler):
        alias: str | None = getattr(used, "database", None)
        app = apps.get_containing_app_config(type(used).__module__)
        if alias is None or app is None:
            continue
        found.setdefault(alias, set()).add(app.label)
        if app.label == "qcore":
            if (ledger := current.conf.ledger) is not None:
                found.setdefault(ledger, set()).add("qcore")
            for model in app.get_models():
                found.setdefault(router.db_for_write(model), set()).add("qcore")
    return found


def of_plugins(*, deciding: bool) -> Iterator[Tables]:
    """Yield the state of the tables of each plugin that is a Django app, or in one.

    A broker's tables are among those that are `required`.

    Args:
        deciding: the plugins that decide about tasks, without whose tables the tasks that
            use them cannot run; else the plugins that only observe.

    Raises:
        django.db.Error: the database cannot be asked.
    """
    if (ledger := current.ledger) is None:
        return
    for plugin in current.registry.plugins:
        app = apps.get_containing_app_config(plugin.module)
        decides = current.registry.features.decides(plugin.name)
        if app is None or app.label == "qcore" or decides is not deciding:
            continue
        if plugin.providers and not decides:
            continue
        used = {router.db_for_write(model) for model in app.get_models()}
        if used and decides and current.registry.app_of(plugin.name) is app:
            used = {ledger.database}
        for alias in sorted(used):
            if router.allow_migrate(alias, app.label):
                yield examine(alias, app.label)


def examine(alias: str, label: str) -> Tables:
    """Return the state of one app's tables in one database.

    Raises:
        django.db.Error: the database cannot be asked.
    """
    connection = connections[alias]
    done = {
        name
        for app, name in MigrationRecorder(connection).applied_migrations()
        if app == label
    }
    known = _names(label)
    # nearly always they are the same; only then no migration is loaded, and a cluster
    # that starts has none of them in its memory
    replaces = {} if known == done else _replacements(label, known)
    replaced = {name for names in replaces.values() for name in names}
    unapplied = [
        name for name in known - done if not (replaces[name] and replaces[name] <= done)
    ]
    return Tables(
        alias=alias,
        app=label,
        unapplied=tuple(sorted(unapplied)),
        absent=() if unapplied else _absent(alias, label),
        newer=tuple(sorted(done - known - replaced)),
    )


def unset(alias: str) -> str | None:
    """Return what to say of a database that the settings do not describe, or None."""
    engine = connections.settings.get(alias, {}).get("ENGINE", _NO_ENGINE)
    if engine != _NO_ENGINE:
        return None
    keys = {"result store": "result_store", "scheduler": "scheduler_class"}
    users, ways = ["the broker"], []
    for kind, key in keys.items():
        used = current.store() if kind == "result store" else current.scheduler
        if getattr(used, "database", None) == alias:
            users.append(f"the {kind} {current.choice(kind).name}")
            ways.append(f"Q_CLUSTER[{key!r}]")
    if getattr(current.broker(), "database", None) != alias:
        del users[0]
    other = f", or select another with {' and '.join(ways)}" if ways else ""
    return (
        f"there is no database {alias!r}, and {' and '.join(users)} need one: DATABASES"
        f" has no ENGINE for it. Set DATABASES[{alias!r}]{other}. What is installed:"
        " qcore plugins"
    )


def faults() -> Iterator[str]:
    """Yield what keeps a cluster from working on the databases of this project.

    Raises:
        django.db.Error: a database cannot be asked.
    """
    is_described = True
    for alias, labels in required().items():
        if told := unset(alias):
            is_described = False
            yield told
            continue
        for label in sorted(labels):
            if fault := examine(alias, label).fault:
                yield fault
    if is_described:  # else there may be no ledger to look for
        yield from _faults_of(of_plugins(deciding=True))


def doubts() -> Iterator[str]:
    """Yield which tables are missing or old that no task needs.

    Raises:
        django.db.Error: a database cannot be asked.
    """
    yield from _faults_of(of_plugins(deciding=False))


def _faults_of(found: Iterator[Tables]) -> Iterator[str]:
    return (tables.fault for tables in found if tables.fault is not None)


def _names(label: str) -> set[str]:
    """Return the names of an app's migrations, without loading one.

    Read without the graph of all apps, which a project's own mistakes may break.
    """
    place, _ = MigrationLoader.migrations_module(label)
    if place is None:  # MIGRATION_MODULES says: made without migrations
        return set()
    return {
        module.name
        for module in pkgutil.iter_modules(import_module(place).__path__)
        if not module.ispkg and module.name[0] not in "_~"
    }


def _replacements(label: str, names: Collection[str]) -> dict[str, set[str]]:
    """Return for each migration of an app those of the app that it replaces."""
    place, _ = MigrationLoader.migrations_module(label)
    loaded = {name: import_module(f"{place}.{name}").Migration for name in names}
    return {
        name: {one for app, one in migration.replaces if app == label}
        for name, migration in loaded.items()
    }


def _absent(alias: str, label: str) -> tuple[str, ...]:
    there = set(connections[alias].introspection.table_names())
    return tuple(sorted(tables_of(label, alias) - there))
