"""Unique tasks and limits for qcore, on every broker.

The package is a plugin (the hooks below) and a Django app (``apps.py``, models,
migrations). Importing it does not import Django::

    unique    Unique: the option of a task, and its key
    keys      who has which key: the rows, in batches
    locks     who waits for whom while a sender's transaction is open
    limit     Limit: the option of a task, and what it may say
    setting   the limits that Q_CLUSTER declares
    words     which word somebody may have meant
    wanted    what a task wants: its limits, as they travel with it
    deciding  which claimed tasks may run under their limits
    holding   renews, frees and sweeps what running tasks hold
    pacing    brings tasks forward that wait under a limit which was raised
    places    the rows of limits, locked and counted
    limiter   where rates are counted: the contract, and the database
    buckets   the starts that one transaction may give
    template  keys that are filled with arguments
    models    the tables
    overview  the limits and the numbers of their keys
    verb page what people see
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qcore import RUN, TaskOption, hookimpl

from .limit import Limit, read_limits
from .setting import LIMITER, SETTING
from .unique import Unique, read_unique

if TYPE_CHECKING:
    from qcore import Admission, Claim, NewTask, Setting, Settled
    from qcore.pages import Page

__all__ = ["Limit", "Unique"]


@hookimpl
def qcore_settings() -> list[Setting]:
    """Describe the settings ``limits`` and ``limiter``."""
    return [SETTING, LIMITER]


@hookimpl
def qcore_task_options() -> list[TaskOption]:
    """Describe the options ``unique`` and ``limits``."""
    return [
        TaskOption(
            "limits",
            read_limits,
            "The limits under which the task runs: the name of one that"
            " `Q_CLUSTER['limits']` declares, a `qcore_limits.Limit`, or a list of these.",
        ),
        TaskOption(
            "unique",
            read_unique,
            "True (the function with these arguments), a template of the key such as"
            ' `"order:{order_id}"`, or a `qcore_limits.Unique`.',
        ),
    ]


@hookimpl
def qcore_before_send(tasks: Sequence[NewTask]) -> None:
    """Note the limits of new tasks, and take the keys of those that are unique."""
    from .keys import required, take
    from .wanted import note

    required(tasks)
    note([new for new in tasks if "limits" in new.options])
    take([new for new in tasks if "unique" in new.options])


@hookimpl
def qcore_admit(claims: Sequence[Claim]) -> list[Admission]:
    """Drop tasks that were replaced, and let those wait that have no place."""
    from qcore.features import Run

    from .deciding import decide
    from .keys import begin, dropped, locked_out
    from .places import now
    from .wanted import has_limits

    gone: dict[str, Admission] = dict(dropped(claims))
    gone |= locked_out([claim for claim in claims if claim.task.id not in gone])
    limited = [
        claim
        for claim in claims
        if has_limits(claim.task) and claim.task.id not in gone
    ]
    answers = dict(gone)
    if limited:
        decided = decide(limited, now())
        answers |= {
            claim.task.id: answer
            for claim, answer in zip(limited, decided, strict=True)
        }
    found = [answers.get(claim.task.id, RUN) for claim in claims]
    pairs = zip(claims, found, strict=True)
    begin([claim for claim, answer in pairs if isinstance(answer, Run)])
    return found


@hookimpl
def qcore_renew(claims: Sequence[Claim]) -> list[str]:
    """Renew the places of tasks that run."""
    from .holding import renew
    from .places import now

    return renew(claims, now())


@hookimpl
def qcore_settle(settled: Sequence[Settled]) -> None:
    """Free the keys and the places of tasks that have ended."""
    from . import holding, keys
    from .wanted import has_limits

    keys.free(settled)
    if any(has_limits(one.task) for one in settled):
        from .places import now

        holding.free(settled, now())


@hookimpl
def qcore_sweep(now: float) -> float:
    """Delete keys whose time is over, and free places that nobody has freed."""
    from django.apps import apps

    if not apps.is_installed("qcore_limits"):
        return 60.0  # there are no tables; the system check says so
    from qcore.runtime import current

    from . import holding, keys, pacing

    ledger = current.ledger
    assert ledger is not None, "without a ledger, nobody sweeps"
    rests: list[float] = []
    # the places first: tasks wait for them
    parts = (holding.sweep, keys.sweep, pacing.heed_settings)
    ledger.each(parts, lambda part: rests.append(part(now)))
    return min(rests)


@hookimpl
def qcore_dashboard_pages() -> list[Page]:
    """Return the page of limits."""
    from django.apps import apps

    from qcore.pages import Page

    if not apps.is_installed("qcore_limits"):
        return []
    return [
        Page(
            "limits",
            "Limits",
            "qcore_limits.page:look",
            "qcore_limits/limits.html",
            "qcore_limits.view_limitkey",
            order=100,
        )
    ]


@hookimpl
def qcore_checks(conf: Any) -> list[Any]:
    """Return what is wrong with the app or the limiter, as Django check messages."""
    from .checks import check

    return check(conf)
