"""The API of qcore: send tasks, schedule them, ask what became of them.

Names, options and defaults are those that django-q's users know. Everything here
raises subclasses of ``qcore.errors.QcoreError``::

    from qcore.tasks import async_task, result

    task_id = async_task("shop.tasks.send_receipt", order.pk, group="receipts")
    result(task_id, wait=500)  # milliseconds
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# public name -> the module that defines it, loaded on first use: a cluster, and a project
# that only sends tasks, have no use for most of them. No module has the name of a function.
_PUBLIC = {
    "AsyncTask": ".one",
    "Chain": ".chains",
    "CurrentTask": "..running",
    "Iter": ".iters",
    "Resent": ".resending",
    "State": ".state",
    "acancel": ".async_variants",
    "acount_group": ".async_variants",
    "acount_group_cached": ".async_variants",
    "adead_groups": ".async_variants",
    "adead_tasks": ".async_variants",
    "adelete": ".async_variants",
    "adelete_cached": ".async_variants",
    "adelete_group": ".async_variants",
    "adelete_group_cached": ".async_variants",
    "adiscard_dead": ".async_variants",
    "aenqueue": ".async_variants",
    "aenqueue_chain": ".async_variants",
    "aenqueue_iter": ".async_variants",
    "aenqueue_many": ".async_variants",
    "afetch": ".alookup",
    "afetch_cached": ".alookup",
    "afetch_group": ".alookup",
    "afetch_group_cached": ".alookup",
    "apause": ".async_variants",
    "apaused": ".async_variants",
    "aprogress": ".progress_report",
    "aqueue_size": ".async_variants",
    "aresend": ".async_variants",
    "aresend_many": ".async_variants",
    "aresult": ".alookup",
    "aresult_cached": ".alookup",
    "aresult_group": ".alookup",
    "aresult_group_cached": ".alookup",
    "aresume": ".async_variants",
    "aschedule": ".async_variants",
    "astatus": ".async_variants",
    "async_chain": ".chains",
    "async_iter": ".iters",
    "async_task": ".enqueueing",
    "async_task_many": ".enqueueing",
    "cancel": ".control",
    "count_group": ".lookup",
    "count_group_cached": ".lookup",
    "current_task": "..running",
    "dead_groups": ".dead",
    "dead_tasks": ".dead",
    "delete": ".lookup",
    "delete_cached": ".lookup",
    "delete_group": ".lookup",
    "delete_group_cached": ".lookup",
    "discard_dead": ".dead",
    "enqueue": ".enqueueing",
    "enqueue_chain": ".chains",
    "enqueue_iter": ".iters",
    "enqueue_many": ".enqueueing",
    "fetch": ".lookup",
    "fetch_cached": ".lookup",
    "fetch_group": ".lookup",
    "fetch_group_cached": ".lookup",
    "pause": ".control",
    "paused": ".control",
    "progress": ".progress_report",
    "queue_size": ".enqueueing",
    "resend": ".resending",
    "resend_many": ".resending",
    "result": ".lookup",
    "result_cached": ".lookup",
    "result_group": ".lookup",
    "result_group_cached": ".lookup",
    "resume": ".control",
    "schedule": ".enqueueing",
    "status": ".state",
}

__all__ = [*_PUBLIC]  # noqa: PLE0604 - the keys are strings

if TYPE_CHECKING:
    from ..running import CurrentTask as CurrentTask
    from ..running import current_task as current_task
    from .alookup import afetch as afetch
    from .alookup import afetch_cached as afetch_cached
    from .alookup import afetch_group as afetch_group
    from .alookup import afetch_group_cached as afetch_group_cached
    from .alookup import aresult as aresult
    from .alookup import aresult_cached as aresult_cached
    from .alookup import aresult_group as aresult_group
    from .alookup import aresult_group_cached as aresult_group_cached
    from .async_variants import acancel as acancel
    from .async_variants import acount_group as acount_group
    from .async_variants import acount_group_cached as acount_group_cached
    from .async_variants import adead_groups as adead_groups
    from .async_variants import adead_tasks as adead_tasks
    from .async_variants import adelete as adelete
    from .async_variants import adelete_cached as adelete_cached
    from .async_variants import adelete_group as adelete_group
    from .async_variants import adelete_group_cached as adelete_group_cached
    from .async_variants import adiscard_dead as adiscard_dead
    from .async_variants import aenqueue as aenqueue
    from .async_variants import aenqueue_chain as aenqueue_chain
    from .async_variants import aenqueue_iter as aenqueue_iter
    from .async_variants import aenqueue_many as aenqueue_many
    from .async_variants import apause as apause
    from .async_variants import apaused as apaused
    from .async_variants import aqueue_size as aqueue_size
    from .async_variants import aresend as aresend
    from .async_variants import aresend_many as aresend_many
    from .async_variants import aresume as aresume
    from .async_variants import aschedule as aschedule
    from .async_variants import astatus as astatus
    from .chains import Chain as Chain
    from .chains import async_chain as async_chain
    from .chains import enqueue_chain as enqueue_chain
    from .control import cancel as cancel
    from .control import pause as pause
    from .control import paused as paused
    from .control import resume as resume
    from .dead import dead_groups as dead_groups
    from .dead import dead_tasks as dead_tasks
    from .dead import discard_dead as discard_dead
    from .enqueueing import async_task as async_task
    from .enqueueing import async_task_many as async_task_many
    from .enqueueing import enqueue as enqueue
    from .enqueueing import enqueue_many as enqueue_many
    from .enqueueing import queue_size as queue_size
    from .enqueueing import schedule as schedule
    from .iters import Iter as Iter
    from .iters import async_iter as async_iter
    from .iters import enqueue_iter as enqueue_iter
    from .lookup import count_group as count_group
    from .lookup import count_group_cached as count_group_cached
    from .lookup import delete as delete
    from .lookup import delete_cached as delete_cached
    from .lookup import delete_group as delete_group
    from .lookup import delete_group_cached as delete_group_cached
    from .lookup import fetch as fetch
    from .lookup import fetch_cached as fetch_cached
    from .lookup import fetch_group as fetch_group
    from .lookup import fetch_group_cached as fetch_group_cached
    from .lookup import result as result
    from .lookup import result_cached as result_cached
    from .lookup import result_group as result_group
    from .lookup import result_group_cached as result_group_cached
    from .one import AsyncTask as AsyncTask
    from .progress_report import aprogress as aprogress
    from .progress_report import progress as progress
    from .resending import Resent as Resent
    from .resending import resend as resend
    from .resending import resend_many as resend_many
    from .state import State as State
    from .state import status as status


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_PUBLIC[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
