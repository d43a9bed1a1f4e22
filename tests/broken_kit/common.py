"""A test class for each broken part among the names of a module."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar

import pytest

from qcore.errors import StoreUnavailable
from qcore.testing import speed


class Hurry:
    """What a broken part has lost does not come, however slow the machine is."""

    @pytest.fixture(autouse=True)
    def _hurry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(speed, "MOST", 1.0)
        monkeypatch.setattr(speed, "TRIES", 1)


class Service:
    """A part without a fault: it is away while the class attribute ``away`` is true."""

    away: ClassVar[bool] = False

    def check(self) -> None:
        if self.away:
            raise StoreUnavailable("the service is away")


class LosesItsConnection(Service):
    """A part that never connects again after an outage."""

    lost = False

    def check(self) -> None:
        self.lost = self.lost or self.away
        if self.lost:
            raise StoreUnavailable("connection lost")


class KeepsItsConnection(Service):
    """A part that uses the connection of its parent in a forked child."""

    def __init__(self, *words: Any, **options: Any) -> None:
        super().__init__(*words, **options)
        self.pid = os.getpid()

    def check(self) -> None:
        super().check()
        if self.pid != os.getpid():
            raise StoreUnavailable("this connection belongs to another process")


class Outages:
    """Parts that are away while the class attribute ``away`` of the sound one is true."""

    kind: ClassVar[type[Any]]

    @pytest.fixture
    def outage(self) -> Callable[[], AbstractContextManager[None]]:
        @contextmanager
        def outage() -> Iterator[None]:
            self.kind.away = True
            try:
                yield
            finally:
                self.kind.away = False

        return outage


def cases(names: dict[str, Any], sound: type, case: type) -> dict[str, type]:
    """Return them; each part names in ``caught_by`` the test that must fail for it.

    Args:
        names: of the module.
        sound: the part without a fault, that the broken ones are made from.
        case: the contract with the fixtures that it needs; its ``kind`` is the part.
    """
    kinds = [
        kind
        for kind in names.values()
        if isinstance(kind, type) and issubclass(kind, sound)
    ]
    found = {}
    for kind in kinds:
        bases = (case,) if kind is sound else (Hurry, case)
        name = f"Test{kind.__name__}"
        found[name] = type(name, bases, {"kind": kind})
    return found
