"""The plugin as the registry, the settings and the checks see it."""

from __future__ import annotations

import pytest
from django.test import override_settings
from support.own_modules import give_own

from qcore import Conf
from qcore.errors import ConfigError
from qcore.testing import PluginContract
from qcore_orm import sqlite
from qcore_orm.broker import OrmBroker
from qcore_orm.checks import check


class TestPlugin(PluginContract):
    name = "orm"
    drivers = ("django", "psycopg", "pymysql", "sqlite3")


def conf(**settings):
    return Conf.from_dict({"orm": "default", **settings})


def test_unknown_alias_is_refused_with_those_that_exist():
    with pytest.raises(ConfigError, match=r"\(default.*\) - did you mean 'default'\?"):
        OrmBroker(conf(orm="defautl"))


def test_app_must_be_installed():
    with (
        override_settings(INSTALLED_APPS=["qcore"]),
        pytest.raises(ConfigError, match="Add 'qcore_orm' to INSTALLED_APPS"),
    ):
        OrmBroker(conf())


def test_long_names_of_queues_are_refused():
    with pytest.raises(ConfigError, match="has 256 characters"):
        OrmBroker(conf(), "q" * 256)
    assert OrmBroker(conf(), "q" * 255).queue == "q" * 255


def test_unsupported_databases_are_refused(add_database):
    add_database("dummy", {"ENGINE": "django.db.backends.dummy"})
    with pytest.raises(ConfigError, match=r"of the kind 'unknown'.*one of: postgresql"):
        OrmBroker(conf(orm="dummy"))


def test_making_a_broker_connects_to_nothing(dead_alias):
    alias = dead_alias("postgres", "secret")
    assert OrmBroker(conf(orm=alias)).database == alias


# -- checks --------------------------------------------------------------------
def ids(**settings):
    return [message.id for message in check(Conf.from_dict(settings))]


def test_checks_are_silent_for_other_brokers_and_good_settings(add_database, tmp_path):
    add_database("good", file=tmp_path / "good.db")
    assert ids(redis={}) == ids(orm="good") == ids(orm="default") == []


def test_checks_tell_of_an_alias_that_is_wrong():
    assert ids(orm="nowhere") == ["qcore_orm.E002"]


def test_checks_tell_of_a_missing_app():
    with override_settings(INSTALLED_APPS=["qcore"]):
        assert ids(orm="default") == ["qcore_orm.E001"]


def test_checks_advise_on_sqlite(add_database, tmp_path):
    entry = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "bare.db")}
    add_database("bare", entry)
    assert ids(orm="bare") == [f"qcore_orm.W00{n}" for n in (1, 2, 3)]


def test_old_sqlite_is_refused_by_version(monkeypatch, add_database, tmp_path):
    entry = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "old.db")}
    add_database("old", entry)
    give_own(monkeypatch, sqlite, "sqlite3", sqlite_version_info=(3, 34, 1))
    refusal = OrmBroker(conf(orm="old"))._sql.refusal()
    assert refusal is not None
    assert "needs 3.35 or newer" in refusal
