"""Brokers that a test opens and need not close."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from ..brokers.base import Broker
from ..conf import Conf
from ..conf.setting import Setting

B = TypeVar("B", bound=Broker)


@contextmanager
def opened_brokers(
    kind: type[B], declared: Sequence[Setting] = ()
) -> Iterator[Callable[..., B]]:
    """Give a function that opens brokers, and close them all at the end.

    The function is ``open_one(settings, queue="")``: ``settings`` are keys of ``Q_CLUSTER``,
    and without the name of a queue the broker is on a queue that nobody has used. In a
    conftest.py::

        @pytest.fixture
        def open_broker(server):
            with opened_brokers(SpoolBroker, qcore_settings()) as open_one:
                yield lambda **settings: open_one({"spool": server.options, **settings})

    Args:
        kind: the class of the brokers.
        declared: what the plugin declares with ``qcore_settings``.
    """
    with ExitStack() as stack:

        def open_one(settings: Mapping[str, Any], queue: str = "") -> B:
            name = queue or f"{kind.__name__.lower()}-{secrets.token_hex(6)}"
            broker = kind(Conf.from_dict(settings, settings=declared), name)
            stack.callback(broker.close)
            return broker

        yield open_one
