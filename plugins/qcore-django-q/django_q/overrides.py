"""What a process has set on ``Conf``: it counts before ``Q_CLUSTER``."""

from __future__ import annotations

from typing import Any

#: Key of ``Q_CLUSTER`` -> the value that was set.
overrides: dict[str, Any] = {}
