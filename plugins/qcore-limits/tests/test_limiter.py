"""The limiter of the database, and which one the settings name."""

from __future__ import annotations

import pytest
from django.db import transaction
from django.test import override_settings

from qcore.conf import Conf
from qcore.errors import ConfigError, PluginBroken
from qcore.runtime import current
from qcore_limits import places, qcore_checks
from qcore_limits.limiter import Bucket, RowLimiter, limiter_of, load
from qcore_limits.testing import LimiterContract
from qcore_limits.wanted import Terms, Wanted

SETTINGS = {"name": "tests", "broker_class": "chores.outside.OutsideBroker"}


class Database:
    """Asks each time in a transaction of its own, as a cluster does."""

    def draw(self, buckets):
        with transaction.atomic():
            keys = [
                Wanted(key, "contract", "contract", Terms(None, pace, burst))
                for key, pace, burst, _ in buckets
            ]
            rows = places.lock_or_make(keys, places.now())
            found = RowLimiter(rows, places.now()).draw(buckets)
            places.write(list(rows.values()))
            return found

    def give_back(self, starts):
        with transaction.atomic():
            rows = places.lock(starts)
            RowLimiter(rows, places.now()).give_back(starts)
            places.write(list(rows.values()))


@pytest.fixture
def _settings(transactional_db):
    with override_settings(Q_CLUSTER=SETTINGS):
        yield


@pytest.mark.usefixtures("_settings")
class TestDatabase(LimiterContract):
    def make_limiter(self):
        return Database()


class Whole:
    """A limiter as a project may write one."""

    def __init__(self, conf):
        self.conf = conf

    def draw(self, buckets: list[Bucket]) -> list[float]:
        return [float(bucket.burst) for bucket in buckets]

    def give_back(self, starts):
        """Nothing was taken."""


class Half:
    def draw(self, buckets):
        return []


def conf(**settings):
    return Conf.from_dict(SETTINGS | settings, settings=current.registry.settings())


def test_the_database_is_the_limiter_of_a_project_that_names_none():
    assert limiter_of(conf()) is None


def test_a_class_of_the_project():
    path = f"{__name__}.Whole"
    made = limiter_of(its := conf(limiter=path))
    assert type(made).__name__ == "Whole"
    assert limiter_of(its) is made
    assert limiter_of(conf(limiter=path)) is not made


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("rediss", ConfigError, r"no limiter of that name is installed .*None for the"),
        ("no.such.Limiter", PluginBroken, "cannot be imported: ModuleNotFoundError"),
        ("math.nothing", PluginBroken, "cannot be imported: AttributeError"),
        ("math.pi", PluginBroken, "is no limiter: it is expected to be a class"),
        (f"{__name__}.Half", PluginBroken, "with the methods draw and give_back"),
    ],
)
@pytest.mark.usefixtures("_settings")
def test_a_limiter_that_cannot_be_had(name, kind, said):
    with pytest.raises(kind, match=said):
        load(name)
    (found,) = qcore_checks(conf(limiter=name))
    assert (found.id, found.msg.startswith("Q_CLUSTER['limiter'] is ")) == (
        "qcore_limits.E001",
        True,
    )


def test_a_name_that_is_nearly_right_is_told():
    pytest.importorskip("qcore_redis")
    with pytest.raises(ConfigError, match="did you mean 'redis'"):
        load("rediss")


@pytest.mark.parametrize("value", [7, "", ["redis"]])
def test_a_value_that_names_nothing(value):
    with pytest.raises(
        ConfigError, match=r"'limiter'.* expected a name, a dotted path"
    ):
        conf(limiter=value)
