"""The contract of a plugin that decides about tasks, as tests that its author inherits.

::

    class TestAccounts(FeatureContract):
        name = "accounts"
        options = {"account": 7}
        wrong_options = ({"account": "seven"}, {"account": 0})

The plugin must be installed, its app in INSTALLED_APPS, and its tables in the database of the
ledger. The tests write to that database; pytest-django makes it for them.

Every test asks for one promise, which is its docstring. Attributes of the class that may be
set are those of `FeatureCase`.
"""

from __future__ import annotations

from .claims import ClaimsContract
from .ends import EndsContract
from .sending import SendingContract
from .sweeps import SweepsContract

__all__ = ["FeatureContract"]


class FeatureContract(SendingContract, ClaimsContract, EndsContract, SweepsContract):
    """Everything that qcore relies on a plugin for that decides about tasks."""
