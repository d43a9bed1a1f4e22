"""Every setting of ``Q_CLUSTER``: type, limits, default and meaning, in one table.

The manual, the validation and ``qcore info --config`` are all made from it.
"""

from __future__ import annotations

import os
import zoneinfo
from typing import Annotated, Any, Literal

import msgspec

from ..backoff import Backoff
from .names import QUEUE, queue_fault
from .setting import FINITE as _FINITE
from .table import about

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
Policy = (
    Patience
    | Annotated[str, msgspec.Meta(pattern=r"^(exponential|linear|[\w.]+\.\w+)$")]
    | Backoff
)


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


def _is_name(name: str) -> bool:
    return not queue_fault(name)


_A_NAME = f"a name of 1 to {QUEUE} characters that can be written as UTF-8, without NUL"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One documented field per setting; `Conf` adds where the values come from."""

    # A table: with one argument to a line it would be twice as long.
    # fmt: off
    # --- cluster ---
    name: Annotated[Text, about("cluster",
        "The project's name among those that share a broker; also the name of its "
        "queue.",
        _A_NAME, check=_is_name
    )] = "default"
    cluster_name: Annotated[Text | None, about("cluster",
        "The queue that this process sends to and works on, where it is not `name`. "
        "The variable Q_CLUSTER_NAME overrides it.",
        f"{_A_NAME}, or None", check=_is_name
    )] = None
    alt_clusters: Annotated[dict[str, Options], about("cluster",
        "Settings that replace these where Q_CLUSTER_NAME selects them, by cluster "
        "name.",
        "a dict of cluster names to dicts of settings"
    )] = msgspec.field(default_factory=dict, name="ALT_CLUSTERS")
    workers: Annotated[Positive, about("cluster",
        "Worker processes in one cluster: the number of tasks that run at a time.",
        "an int >= 1 or None for one per processor", default="one per processor",
        none_is_default=True
    )] = msgspec.field(default_factory=cpu_count)
    daemonize_workers: Annotated[bool, about("cluster",
        "End all processes that a worker has started when the worker ends. False lets "
        "them live on, and makes orphans of them if the cluster dies. Tasks may start "
        "processes either way."
    )] = True
    recycle: Annotated[Natural, about("cluster",
        "Tasks that a worker runs before a fresh one replaces it; 0 means it is never "
        "replaced for its age.",
        "an int >= 0"
    )] = 500
    max_rss: Annotated[Positive | None, about("cluster",
        "Resident memory in kB (1024 bytes) above which a worker is replaced after its "
        "task.",
        "a number of kB, an int >= 1, or None"
    )] = None
    preload: Annotated[bool, about("cluster",
        "Import the module `tasks` of each installed app before workers are forked, "
        "which then share its memory. False imports a module when a task needs it: for "
        "modules that start threads or open connections when they are imported."
    )] = True
    cpu_affinity: Annotated[Natural, about("cluster",
        "Processors that each worker is bound to, in turns; 0 binds none.",
        "an int >= 0"
    )] = 0
    guard_cycle: Annotated[Cycle, about("cluster",
        "Seconds between two rounds of the sentinel, and between two snapshots of its "
        "status while something changes. Unless set, a sentinel that nobody needs rests "
        "for 5; a signal or a death wakes it.",
        "a number of seconds > 0 and < 60", unset="5 for a sentinel that rests"
    )] = 0.5
    shutdown_grace: Annotated[Patience, about("cluster",
        "Seconds that running tasks have to end once the cluster is told to stop. 25 "
        "leaves time within the 30 of Kubernetes.",
        "a number of seconds >= 0"
    )] = 25.0
    # --- tasks ---
    timeout: Annotated[Seconds | None, about("tasks",
        "Seconds that a task may run; None sets no limit. A task may have its own.",
        "a number of seconds > 0 or None"
    )] = None
    grace: Annotated[Patience, about("tasks",
        "Seconds between the exception that `timeout` raises in a task and SIGKILL for "
        "its worker.",
        "a number of seconds >= 0"
    )] = 5.0
    retry: Annotated[Seconds, about("tasks",
        "The lease in seconds: how long a delivered task belongs to its cluster before "
        "the broker presents it again. A project that sets it gets it to the letter; "
        "otherwise the lease of a running task is renewed.",
        "a number of seconds > 0"
    )] = 60
    renew: Annotated[bool | None, about("tasks",
        "Renew the lease of a running task; None renews unless the project sets "
        "`retry`.",
        "True, False or None", unset="True unless retry is set"
    )] = None
    max_attempts: Annotated[Natural, about("tasks",
        "Deliveries of a failing task before it is given up; 0 sets no limit.",
        "an int >= 0"
    )] = 0
    backoff: Annotated[Policy | None, about("tasks",
        "Wait before a failed task is run again: seconds, 'exponential', 'linear', a "
        "`qcore.Backoff`, or the dotted path of a function `(attempt, error) -> seconds`. "
        "None waits until the lease has ended. A task may have its own.",
        "seconds >= 0, 'exponential', 'linear', a Backoff, a dotted path or None",
        unset="the lease, `retry`"
    )] = None
    max_crashes: Annotated[Positive, about("tasks",
        "Deliveries of a task whose worker died under it before it is given up.",
        "an int >= 1"
    )] = 3
    ack_failures: Annotated[bool, about("tasks",
        "Acknowledge failed tasks, so that they are not retried. A task may have its "
        "own (`ack_failure`)."
    )] = False
    sync: Annotated[bool, about("tasks",
        "Run every task at once in the calling process."
    )] = False
    compress: Annotated[bool, about("tasks",
        "Compress packages before they are sent."
    )] = False
    serializer: Annotated[Content, about("tasks",
        "How arguments and results are written. 'pickle' takes any object and lets "
        "whoever holds a signing key run code."
    )] = "json"
    accept_content: Annotated[Contents, about("tasks",
        "Serializers whose packages a cluster reads.",
        "a list with 'json', 'pickle' or both", default="[serializer]"
    )] = ()
    max_payload: Annotated[Positive, about("tasks",
        "Largest package in bytes that may be sent; a broker may accept less.",
        "a number of bytes, an int >= 1"
    )] = 1_048_576
    signing_keys: Annotated[Texts | None, about("tasks",
        "Keys of packages: the first signs, all are accepted. None uses SECRET_KEY and "
        "SECRET_KEY_FALLBACKS.",
        "a list of one text or more, or None", secret=True
    )] = None
    allowed_tasks: Annotated[tuple[Text, ...] | None, about("tasks",
        "Prefixes of dotted paths, such as 'shop.tasks', that tasks and their hooks may have; None "
        "allows all.",
        "a list of dotted paths or None"
    )] = None
    commit: Annotated[Literal["on_commit", "now"], about("tasks",
        "When a task called inside a transaction is sent to a broker outside of that "
        "database."
    )] = "on_commit"
    outbox: Annotated[bool | None, about("tasks",
        "Send tasks through the outbox, a table of the database `ledger`, for brokers "
        "outside of that database. None does so for a task that is called inside a "
        "transaction of that database, and for a delay that the broker cannot keep.",
        "True, False or None"
    )] = None
    bands: Annotated[bool, about("tasks",
        "Split each queue into five queues of the broker, one for each band of "
        "priorities, for brokers that know no priorities."
    )] = False
    ledger: Annotated[Text | None, about("tasks",
        "Alias of the database that has the outbox. None takes that of the results.",
        "the alias of a database or None"
    )] = None
    # --- broker ---
    queue_limit: Annotated[Positive, about("broker",
        "Tasks that one cluster holds in memory besides those that run; the broker may "
        "queue any number. Unless set, it grows while tasks are short, to about 50 ms "
        "of work.",
        "an int >= 1 or None for workers ** 2", default="workers ** 2",
        none_is_default=True, unset="more while tasks are short"
    )] = 0
    bulk: Annotated[Positive, about("broker",
        "Tasks to fetch from the broker in one call. Unless set, as many as the "
        "cluster has room for.",
        "an int >= 1", unset="as many as there is room for"
    )] = 1
    poll: Annotated[Seconds, about("broker",
        "Seconds between two looks at a broker that cannot wait for tasks.",
        "a number of seconds > 0"
    )] = 0.2
    broker_class: Annotated[Text | None, about("broker",
        "Dotted path of a broker class of the project's own; it wins over all other "
        "choices.",
        "a dotted path or None"
    )] = None
    # --- results ---
    result_store: Annotated[Text | None, about("results",
        "Result store: the name of one that a plugin provides, or the dotted path of "
        "a class. None keeps results in the database, unless a plugin's own key "
        "selects its store.",
        "a name, a dotted path or None"
    )] = None
    save_limit: Annotated[Annotated[int, msgspec.Meta(ge=-1)], about("results",
        "Successful tasks to keep; 0 keeps all, -1 none. Failures are always kept.",
        "an int >= -1"
    )] = 250
    save_limit_per: Annotated[Literal["group", "name", "func"] | None, about("results",
        "Apply `save_limit` to each group, name or function."
    )] = None
    keep_tracked: Annotated[Seconds, about("results",
        "Seconds that a tracked task (`track=True`, and every task of `django.tasks`) is kept "
        "after its end, with its result, whatever `save_limit` says. The default is 14 "
        "days.",
        "a number of seconds > 0"
    )] = 1_209_600
    cache: Annotated[Text, about("results",
        "Alias of the cache for status and cached results.",
        "the alias of a cache"
    )] = "default"
    cache_backend: Annotated[Text | None, about("results",
        "Cache backend of status and cached results: the name of one that a plugin "
        "provides, or the dotted path of a class. None uses the alias `cache` of "
        "Django's caches, unless a plugin's own key selects its backend.",
        "a name, a dotted path or None"
    )] = None
    cached: Annotated[bool | Positive, about("results",
        "Keep results in the cache instead of the database; a number is the seconds to "
        "keep them.",
        "True, False or a number of seconds, an int >= 1"
    )] = False
    max_result: Annotated[Positive, about("results",
        "Largest result in bytes that is stored; a note takes the place of a larger one.",
        "a number of bytes, an int >= 1"
    )] = 10_485_760
    error_reporter: Annotated[dict[str, Options], about("results",
        "Reporters of failures: the options of each by its name.",
        "a dict of reporter names to dicts of options", secret=True
    )] = {}
    report_args: Annotated[bool, about("results",
        "Give reporters the arguments of a failed task."
    )] = False
    # --- schedules ---
    scheduler_class: Annotated[Text | None, about("schedules",
        "Scheduler: the name of one that a plugin provides, or the dotted path of a "
        "class. None keeps schedules in the database, unless a plugin's own key "
        "selects its scheduler.",
        "a name, a dotted path or None"
    )] = None
    scheduler: Annotated[bool, about("schedules",
        "Whether this cluster starts scheduled tasks."
    )] = True
    catch_up: Annotated[bool, about("schedules",
        "Run every slot that was missed while no cluster ran; False runs a missed "
        "schedule once."
    )] = True
    time_zone: Annotated[Text | None, about("schedules",
        "Time zone in which schedules are reckoned.",
        "the name of a time zone, as 'Europe/Amsterdam', or None",
        default="TIME_ZONE where USE_TZ is True", check=_is_zone
    )] = None
    # --- app ---
    label: Annotated[Text, about("app",
        "The title of the app in the admin.",
        "a text of one character or more", unset="qcore"
    )] = "Django Q"
    log_level: Annotated[Level, about("app",
        "Level of the log that `qcore cluster` writes to the terminal where the "
        "project configures none."
    )] = "INFO"
    # fmt: on
