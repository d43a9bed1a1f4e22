"""``django_q.tasks``: the calls of django-q, done by qcore.

::

    sending     async_task
    schedules   schedule
    lookup      results and groups
    iters       async_iter and Iter
    chains      async_chain and Chain
    one         AsyncTask
    defaults    arguments that the settings answer
"""

from __future__ import annotations

from ..brokers import Broker, get_broker
from ..conf import Conf, logger
from ..humanhash import uuid
from ..models import Schedule, Task
from ..queues import Queue
from ..signals import pre_enqueue
from ..signing import SignedPackage
from .chains import Chain, async_chain
from .iters import Iter, async_iter
from .lookup import (
    count_group,
    count_group_cached,
    delete_cached,
    delete_group,
    delete_group_cached,
    fetch,
    fetch_cached,
    fetch_group,
    fetch_group_cached,
    queue_size,
    result,
    result_cached,
    result_group,
    result_group_cached,
)
from .one import AsyncTask
from .schedules import schedule
from .sending import _sync as _sync
from .sending import async_task

__all__ = [
    "AsyncTask",
    "Broker",
    "Chain",
    "Conf",
    "Iter",
    "Queue",
    "Schedule",
    "SignedPackage",
    "Task",
    "async_chain",
    "async_iter",
    "async_task",
    "count_group",
    "count_group_cached",
    "delete_cached",
    "delete_group",
    "delete_group_cached",
    "fetch",
    "fetch_cached",
    "fetch_group",
    "fetch_group_cached",
    "get_broker",
    "logger",
    "pre_enqueue",
    "queue_size",
    "result",
    "result_cached",
    "result_group",
    "result_group_cached",
    "schedule",
    "uuid",
]
