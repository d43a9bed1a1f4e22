"""The contract of a result store, as tests that a plugin inherits.

Write one fixture::

    class TestMongoStore(ResultStoreContract):
        @pytest.fixture
        def store(self, server):  # empty, and for this test alone
            return MongoStore(Conf.from_dict({"mongo": server.options}))

Every test asks for one promise, which is its name.
"""

from __future__ import annotations

from .connections import ConnectionsContract
from .counts import CountsContract
from .dead import DeadContract
from .joining import JoiningContract
from .refusals import RefusalsContract
from .saving import SavingContract

__all__ = ["ResultStoreContract"]


class ResultStoreContract(
    SavingContract,
    RefusalsContract,
    ConnectionsContract,
    CountsContract,
    JoiningContract,
    DeadContract,
):
    """Everything that qcore relies on a result store for."""
