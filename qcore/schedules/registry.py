"""Every schedule that modules have declared in this process, by its name.

Apart from ``declared``, so that a cluster whose project declares none need not load how
that is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .declared import Declared

DECLARED: dict[str, Declared] = {}
