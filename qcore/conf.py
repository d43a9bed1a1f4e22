"""`Conf` is the ``Q_CLUSTER`` dictionary of a project, validated and complete.

One documented field per setting; the page of settings in the manual is generated
from them. Importing this module does not import Django.
"""

from __future__ import annotations

import functools
import os
import zoneinfo
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from .advice import Advice, advice
from .errors import ConfigError
from .masking import mask, mask_url
from .validation import ROOT, Setting, about, examine, table

__all__ = ["Advice", "Conf", "Setting", "advice", "cpu_count", "fields", "mask"]
__all__ += ["mask_url", "problems"]

# The largest finite float: infinity and NaN are no durations.
_FINITE = 1.7976931348623157e308

Text = Annotated[str, msgspec.Meta(min_length=1)]
Texts = Annotated[tuple[Text, ...], msgspec.Meta(min_length=1)]
Natural = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Seconds = (
    Annotated[int, msgspec.Meta(gt=0)]
    | Annotated[float, msgspec.Meta(gt=0, le=_FINITE)]
)
Patience = (
    Annotated[int, msgspec.Meta(ge=0)]
    | Annotated[float, msgspec.Meta(ge=0, le=_FINITE)]
)
Cycle = (
    Annotated[int, msgspec.Meta(gt=0, lt=60)]
    | Annotated[float, msgspec.Meta(gt=0, lt=60)]
)
Level = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
Content = Literal["json", "pickle"]
Contents = Annotated[tuple[Content, ...], msgspec.Meta(min_length=1)]
Options = dict[str, Any]

# Keys of the predecessor that are accepted and do nothing here, and why.
_WITHOUT_EFFECT = {
    "disque_fastack": "jobs are always acknowledged with ACKJOB, which a node that "
    "is cut off cannot undo",
    "has_replica": "the scheduler writes to the database that the routers name",
    "testing": "tests need no special mode; see qcore.testing",
}


def cpu_count() -> int:
    """Return the number of processors that this process may use, at least 1.

    CPU affinity and cpusets are respected; a CPU quota of a container is not, for it
    limits time and not processors.
    """
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _is_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


class Conf(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one cluster; make one with `from_settings` or `from_dict`.

    A direct ``Conf(...)`` takes its values as they are, without validation.
    """

