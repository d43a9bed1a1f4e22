"""The table of options: what a call can say about its task.

An entry is the name, the type for a type checker and an ``Option`` with the rest; calls,
``q_options``, schedules, chains, the decorator, the advice for a wrong word and the manual
follow from it. An option that travels needs its field in ``envelope``, too.
"""

# Without the import of annotations: the entries are read when the class is made.

import datetime as dt
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, Literal, TypedDict, get_type_hints

from ..backoff import Backoff
from ..brokers.base import Broker
from . import option_checks as checks
from .option import Option

Seconds = float | dt.timedelta
Function = Callable[..., Any] | str
Exceptions = type[Exception] | str | Collection[type[Exception] | str]

_DELAY = "'delay' (seconds or a timedelta)"
_ATTEMPTS = "'max_attempts' (all deliveries, the first included)"
_TIMEOUT = "'timeout' (seconds)"
_HOOK = "'hook' (called for failures, too)"
_QUEUE = "'cluster' (the name of the queue)"


class TaskOptions(TypedDict, total=False):
    """The options of a task, of which all may be missing."""

    task_name: Annotated[
        str | None,
        Option(
            check=checks.label,
            help="a name to find the result by; of two, the newest is found",
            words={"name": "'task_name'"},
        ),
    ]
    group: Annotated[
        str | None,
        Option(
            check=checks.label,
            help="a label shared with other tasks",
            travels="task",
            words={"label": "'group'"},
        ),
    ]
    hook: Annotated[
        Function | None,
        Option(
            check=checks.function,
            help="a function or path, called with the finished task",
            travels="task",
            words=dict.fromkeys(("link", "callback", "on_success"), _HOOK),
        ),
    ]
    timeout: Annotated[
        Seconds | None,
        Option(
            check=checks.timeout,
            help="seconds (or a timedelta) that it may run; None sets no limit",
            travels="options",
            none_counts=True,
            words=dict.fromkeys(
                ("time_limit", "soft_time_limit", "time_out"), _TIMEOUT
            ),
        ),
    ]
    max_attempts: Annotated[
        int,
        Option(
            check=checks.attempts,
            help="deliveries before it is given up; 0 sets no limit",
            travels="options",
            none_counts=True,  # it might say "no limit", so it is refused
            words={
                "retries": _ATTEMPTS,
                "max_retries": _ATTEMPTS,
                "retry": (
                    "'max_attempts'; the setting 'retry' is the time between attempts"
                ),
            },
        ),
    ]
    backoff: Annotated[
        Seconds | str | Backoff | Callable[..., Any] | None,
        Option(
            check=checks.backoff,
            help=(
                'seconds before it is tried again, `"exponential"`, `"linear"`, a'
                " `Backoff`, or a function `(attempt, error) -> seconds`"
            ),
            travels="options",
            yields=True,
            words=dict.fromkeys(
                ("retry_delay", "default_retry_delay", "retry_backoff", "wait"),
                "'backoff' (seconds, a word or a Backoff)",
            ),
        ),
    ]
    retry_on: Annotated[
        Exceptions | None,
        Option(
            check=checks.exceptions,
            help="exception classes after which it is tried again, and no others",
            travels="options",
            yields=True,
            words={"autoretry_for": "'retry_on' (exception classes)"},
        ),
    ]
    discard_on: Annotated[
        Exceptions | None,
        Option(
            check=checks.exceptions,
            help="exception classes after which it ends as `discarded`",
            travels="options",
            yields=True,
            words=dict.fromkeys(
                ("dont_autoretry_for", "throws"), "'discard_on' (exception classes)"
            ),
        ),
    ]
    ack_failure: Annotated[
        bool | None,
        Option(
            check=checks.boolean,
            help="True: not tried again when it fails",
            travels="options",
        ),
    ]
    save: Annotated[
        bool | None,
        Option(
            check=checks.boolean,
            help="whether a success is stored",
            travels="options",
            words={"ignore_result": "'save': save=False"},
        ),
    ]
    cached: Annotated[
        bool | Seconds | None,
        Option(
            check=checks.cached,
            help="keep the result in the cache: True, or seconds",
            travels="options",
        ),
    ]
    track: Annotated[
        bool | None,
        Option(
            check=checks.boolean,
            help=(
                "True: it can be found from its enqueueing on, and its end is kept by age;"
                " see [`status`](#the-state-of-a-task)"
            ),
            travels="options",
            yields=True,
        ),
    ]
    typed: Annotated[
        bool | None,
        Option(
            check=checks.boolean,
            help=(
                "True: arguments are checked against the annotations of the function, and"
                " dataclasses and models [travel](../how-to/tasks.md#typed-tasks) as data"
            ),
            travels="options",
            yields=True,
        ),
    ]
    cluster: Annotated[
        str | None,
        Option(
            check=checks.queue,
            help="the queue to send to",
            words={
                "queue_name": _QUEUE,
            },
        ),
    ]
    queue: Annotated[
        str | None,
        Option(
            check=checks.queue,
            help="another name of `cluster`",
            yields=True,
            alias_of="cluster",
        ),
    ]
    delay: Annotated[
        Seconds | None,
        Option(
            check=checks.delay,
            help=(
                "seconds or a timedelta before it may start; the"
                " [outbox](../explanation/outbox.md) keeps what the broker cannot"
            ),
            words={
                "countdown": _DELAY,
                "delayed": _DELAY,
            },
        ),
    ]
    run_after: Annotated[
        dt.datetime | dt.timedelta | None,
        Option(
            check=checks.run_after,
            help=(
                "a datetime with a time zone, or a timedelta: it does not start before"
                " that; `delay` in other words"
            ),
            yields=True,
            words={"eta": "'run_after' (a datetime with a time zone)"},
        ),
    ]
    expires: Annotated[
        Seconds | dt.datetime | None,
        Option(
            check=checks.expires,
            help=(
                "seconds or a timedelta from the call, or a datetime with a time zone: a"
                " task that has not started by then never does, and ends as `expired`"
            ),
            yields=True,
            words=dict.fromkeys(
                ("expire", "ttl", "expires_at", "expire_at"),
                "'expires' (seconds, a timedelta or a datetime)",
            ),
        ),
    ]
    priority: Annotated[
        int | None,
        Option(
            check=checks.priority,
            help=(
                "a whole number from -100 to 100, 0 by default; the higher one"
                " [goes first](../how-to/priorities.md)"
            ),
            travels="task",
            yields=True,
        ),
    ]
    commit: Annotated[
        Literal["on_commit", "now"] | None,
        Option(
            check=checks.commit,
            help='`"on_commit"` or `"now"`, see below',
            at_call_only=True,
        ),
    ]
    sync: Annotated[
        bool | None,
        Option(
            check=checks.boolean,
            help="True: run it here and now",
            at_call_only=True,
        ),
    ]
    broker: Annotated[
        Broker | None,
        Option(
            check=checks.broker,
            help="a broker object to send it through, to the queue of that broker",
            at_call_only=True,
        ),
    ]


#: Every option by its name.
TABLE: Mapping[str, Option] = {
    name: next(part for part in hint.__metadata__ if isinstance(part, Option))
    for name, hint in get_type_hints(TaskOptions, include_extras=True).items()
}

#: Keywords of ``async_task`` that are about the task and not for the function.
OPTIONS = frozenset(TABLE)
#: Those of them that are for the function after all, where it takes them.
YIELDING = frozenset(name for name, option in TABLE.items() if option.yields)
#: Fields of ``envelope.Options`` and of ``envelope.Task`` that options fill.
OWN_FIELDS = frozenset(k for k, option in TABLE.items() if option.travels == "options")
TASK_FIELDS = frozenset(k for k, option in TABLE.items() if option.travels == "task")
#: Options that a schedule ignores, for a cluster sends its tasks.
AT_CALL_ONLY = frozenset(k for k, option in TABLE.items() if option.at_call_only)

#: Words of other queues, and frequent mistakes that are no misspellings, with their hints.
ELSEWHERE: Mapping[str, str] = {
    word: meant
    for option in TABLE.values()
    for word, meant in option.words.items()
    if word not in TABLE
}
