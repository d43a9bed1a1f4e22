"""Tests for those who use qcore, and for those who write plugins.

For a project: ``qcore.testing.drain`` runs what is queued, and looks at it, without a
cluster; ``LiveCluster`` is a real one; ``pytest_plugins = ["qcore.testing.fixtures"]``
makes fixtures of both.

For a plugin: contracts, to inherit from. Say how to make one of yours, and pytest asks
everything else::

    from qcore.testing import BrokerContract

    class TestSQS(BrokerContract):
        @pytest.fixture
        def make_broker(self, server):
            ...

The names below load on first use: pytest is imported only by the contracts.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

# contract -> the module of qcore.testing.contracts that defines it
_CONTRACTS = {
    "BrokerContract": "brokers",
    "CacheBackendContract": "caches",
    "ClusterContract": "clusters",
    "ErrorReporterContract": "reporters",
    "FeatureContract": "features",
    "NetworkContract": "networks",
    "PluginContract": "plugin",
    "ResultStoreContract": "results",
    "SchedulerContract": "schedulers",
}
# every public name -> its module in this package
_MODULES = {
    **{name: f"contracts.{module}" for name, module in _CONTRACTS.items()},
    "LiveCluster": "cluster",
    "MakeScheduler": "contracts.schedulers",
    "Sent": "contracts.schedulers",
}

__all__ = [
    "BrokerContract",
    "CacheBackendContract",
    "ClusterContract",
    "ErrorReporterContract",
    "FeatureContract",
    "LiveCluster",
    "MakeScheduler",
    "NetworkContract",
    "PluginContract",
    "ResultStoreContract",
    "SchedulerContract",
    "Sent",
]

if TYPE_CHECKING:
    from .cluster import LiveCluster as LiveCluster
    from .contracts.brokers import BrokerContract as BrokerContract
    from .contracts.caches import CacheBackendContract as CacheBackendContract
    from .contracts.clusters import ClusterContract as ClusterContract
    from .contracts.features import FeatureContract as FeatureContract
    from .contracts.networks import NetworkContract as NetworkContract
    from .contracts.plugin import PluginContract as PluginContract
    from .contracts.reporters import ErrorReporterContract as ErrorReporterContract
    from .contracts.results import ResultStoreContract as ResultStoreContract
    from .contracts.schedulers import MakeScheduler as MakeScheduler
    from .contracts.schedulers import SchedulerContract as SchedulerContract
    from .contracts.schedulers import Sent as Sent

if "pytest" in sys.modules:
    # Without this an assert in a contract would fail and not say with which values;
    # it must come before the import of the modules below that name.
    sys.modules["pytest"].register_assert_rewrite(f"{__name__}.contracts")


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value
