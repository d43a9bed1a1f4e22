"""A test class for each broken part among the names of a module."""

from __future__ import annotations

from typing import Any


def cases(names: dict[str, Any], sound: type, case: type) -> dict[str, type]:
    """Return them; each part names in ``caught_by`` the test that must fail for it.

    Args:
        names: of the module.
        sound: the part without a fault, that the broken ones are made from.
        case: the contract with the fixtures that it needs; its ``kind`` is the part.
    """
    return {
        f"Test{kind.__name__}": type(f"Test{kind.__name__}", (case,), {"kind": kind})
        for kind in names.values()
        if isinstance(kind, type) and issubclass(kind, sound)
    }
