"""The API of qcore: send tasks, schedule them, ask what became of them.

Names, options and defaults are those that django-q's users know. Everything here
raises subclasses of ``qcore.errors.QcoreError``::

    from qcore.tasks import async_task, result

    task_id = async_task("shop.tasks.send_receipt", order.pk, group="receipts")
    result(task_id, wait=500)  # milliseconds
"""

from __future__ import annotations

from ..running import CurrentTask, current_task
from .alookup import (
    afetch,
    afetch_cached,
    afetch_group,
    afetch_group_cached,
    aresult,
    aresult_cached,
    aresult_group,
    aresult_group_cached,
)
from .async_variants import (
    acancel,
    acount_group,
    acount_group_cached,
    adead_groups,
    adead_tasks,
    adelete,
    adelete_cached,
    adelete_group,
    adelete_group_cached,
    adiscard_dead,
    aenqueue,
    aenqueue_chain,
    aenqueue_iter,
    aenqueue_many,
    apause,
    apaused,
    aqueue_size,
    aresend,
    aresend_many,
    aresume,
    aschedule,
    astatus,
)
from .chains import Chain, async_chain, enqueue_chain
from .control import cancel, pause, paused, resume
from .dead import dead_groups, dead_tasks, discard_dead
from .enqueueing import (
    async_task,
    async_task_many,
    enqueue,
    enqueue_many,
    queue_size,
    schedule,
)
from .iters import Iter, async_iter, enqueue_iter
from .lookup import (
    count_group,
    count_group_cached,
    delete,
    delete_cached,
    delete_group,
    delete_group_cached,
    fetch,
    fetch_cached,
    fetch_group,
    fetch_group_cached,
    result,
    result_cached,
    result_group,
    result_group_cached,
)
from .one import AsyncTask
from .progress_report import aprogress, progress
from .resend import Resent, resend, resend_many
from .state import State, status

__all__ = [
    "AsyncTask",
    "Chain",
    "CurrentTask",
    "Iter",
    "Resent",
    "State",
    "acancel",
    "acount_group",
    "acount_group_cached",
    "adead_groups",
    "adead_tasks",
    "adelete",
    "adelete_cached",
    "adelete_group",
    "adelete_group_cached",
    "adiscard_dead",
    "aenqueue",
    "aenqueue_chain",
    "aenqueue_iter",
    "aenqueue_many",
    "afetch",
    "afetch_cached",
    "afetch_group",
    "afetch_group_cached",
    "apause",
    "apaused",
    "aprogress",
    "aqueue_size",
    "aresend",
    "aresend_many",
    "aresult",
    "aresult_cached",
    "aresult_group",
    "aresult_group_cached",
    "aresume",
    "aschedule",
    "astatus",
    "async_chain",
    "async_iter",
    "async_task",
    "async_task_many",
    "cancel",
    "count_group",
    "count_group_cached",
    "current_task",
    "dead_groups",
    "dead_tasks",
    "delete",
    "delete_cached",
    "delete_group",
    "delete_group_cached",
    "discard_dead",
    "enqueue",
    "enqueue_chain",
    "enqueue_iter",
    "enqueue_many",
    "fetch",
    "fetch_cached",
    "fetch_group",
    "fetch_group_cached",
    "pause",
    "paused",
    "progress",
    "queue_size",
    "resend",
    "resend_many",
    "result",
    "result_cached",
    "result_group",
    "result_group_cached",
    "resume",
    "schedule",
    "status",
]
