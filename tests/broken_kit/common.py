"""A test class for each broken part among the names of a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar

import pytest

from qcore.testing import speed


class Hurry:
    """What a broken part has lost does not come, however slow the machine is."""

    @pytest.fixture(autouse=True)
    def _hurry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(speed, "MOST", 1.0)
        monkeypatch.setattr(speed, "TRIES", 1)


class Outages:
    """Parts that are away while the class attribute ``away`` of the sound one is true."""

    kind: ClassVar[type[Any]]

    @pytest.fixture
    def outage(self) -> Callable[[], AbstractContextManager[None]]:
        sound = next(k for k in reversed(self.kind.__mro__) if "away" in vars(k))

        @contextmanager
        def outage() -> Iterator[None]:
            sound.away = True
            try:
                yield
            finally:
                sound.away = False

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
