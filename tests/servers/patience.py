"""`Patience` of the kit, also where qcore is not installed: in the session ``install``.

There the tests see only the qcore that they install themselves, as users do.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

__all__ = ["Patience"]

if TYPE_CHECKING:
    from qcore.testing.speed import Patience
else:
    _path = Path(__file__).parents[2] / "qcore" / "testing" / "speed.py"
    _spec = importlib.util.spec_from_file_location("speed_of_the_kit", _path)
    _speed = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(_speed)
    Patience = _speed.Patience
