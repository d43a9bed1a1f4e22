"""The plugin author's kit: what a plugin must keep, as tests to inherit.

Subclass a contract in the tests of a plugin, say how to make one of yours, and
pytest asks everything else::

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

# contract -> the module of this package that defines it
_CONTRACTS = {
    "BrokerContract": "brokers",
    "PluginContract": "plugin",
}

__all__ = ["BrokerContract", "PluginContract"]

if TYPE_CHECKING:
    from .brokers import BrokerContract as BrokerContract
    from .plugin import PluginContract as PluginContract

if "pytest" in sys.modules:
    # Without this an assert in a contract would fail and not say with which values;
    # it must come before the import of the modules it names.
    sys.modules["pytest"].register_assert_rewrite(
        *(f"{__name__}.{module}" for module in _CONTRACTS.values())
    )


def __getattr__(name: str) -> Any:
    if name not in _CONTRACTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_CONTRACTS[name]}", __name__), name)
    globals()[name] = value
    return value
