"""The contract of a broker, as tests that a plugin inherits.

Write one fixture and, where your service allows it, three more::

    class TestSQS(BrokerContract):
        lease = 2  # SQS counts in whole seconds
        misspelt = ({"sqs": {"regoin": "eu-west-1"}}, "regoin")

        @pytest.fixture
        def make_broker(self, server):
            def make(queue=None, **settings):
                options = {"sqs": server.options, **settings}
                return SQSBroker(Conf.from_dict(options, claimed=["sqs"]), queue)

            return make

        @pytest.fixture
        def dead_broker(self):  # nobody listens there; not connected yet
            ...

        @pytest.fixture
        def restart_service(self, server):  # called with kill=True or kill=False
            return server.restart

        @pytest.fixture
        def malformed(self, client):  # what is wrong -> puts it into broker.queue
            return {"no base64": lambda broker: client.send(broker.queue, "!")}

Every test asks for one promise, which is its docstring. Capability flags decide what
is asked: a flag that is on is tested, and a flag that is off must be refused.
Attributes of the class that may be set are those of `BrokerCase`.
"""

from __future__ import annotations

from .claiming import ClaimingContract
from .consumers import ConsumersContract
from .faults import FaultsContract
from .flags import FlagsContract
from .histories import HistoriesContract
from .leases import LeasesContract
from .malformed import MalformedContract
from .priorities import PrioritiesContract
from .receipts import ReceiptsContract
from .sending import SendingContract
from .upkeep import UpkeepContract
from .waiting import WaitingContract

__all__ = ["BrokerContract"]


class BrokerContract(
    SendingContract,
    ClaimingContract,
    PrioritiesContract,
    LeasesContract,
    ReceiptsContract,
    ConsumersContract,
    UpkeepContract,
    MalformedContract,
    FaultsContract,
    FlagsContract,
    HistoriesContract,
    WaitingContract,
):
    """Everything that qcore relies on a broker for."""
