"""What of ``Q_CLUSTER`` the plugin reads."""

from __future__ import annotations

from qcore import Setting
from qcore.runtime import current

_DAY = 86_400.0
#: Seconds for which an ended flow is kept, and for which a flow may rest before its members
#: are looked for.
KEEP, LOST_AFTER = 14 * _DAY, _DAY
_LONGEST = 1_000_000_000

SETTING = Setting(
    "flows",
    dict,
    "Batches and graphs of `qcore-flows`.",
    group="tasks",
    keys=(
        Setting(
            "keep",
            float,
            "Seconds for which a batch or graph that has ended can be looked at and tried"
            " again.",
            default=KEEP,
            minimum=60,
            maximum=_LONGEST,
        ),
        Setting(
            "lost_after",
            float,
            "Seconds after which the members of a batch or graph are looked for, if none of"
            " them has ended or become due for so long. A member that has no result, is not in the outbox"
            " and is run by no cluster then ends as lost. Set it higher than the longest"
            " that a task of yours waits in a queue.",
            default=LOST_AFTER,
            minimum=60,
            maximum=_LONGEST,
        ),
    ),
)


def seconds(name: str) -> float:
    """Return the value of one of the keys."""
    found = current.conf.options.get("flows") or {}
    default = {"keep": KEEP, "lost_after": LOST_AFTER}[name]
    value: float = found.get(name, default)
    return value
