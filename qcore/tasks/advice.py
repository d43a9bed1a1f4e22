"""Advice: which option is meant by a word that is none."""

from __future__ import annotations

from ..errors import did_you_mean

#: Keywords of ``async_task`` that are about the task and not for the function.
OPTIONS = frozenset(
    {
        "ack_failure",
        "broker",
        "cached",
        "cluster",
        "commit",
        "delay",
        "group",
        "hook",
        "max_attempts",
        "save",
        "sync",
        "task_name",
        "timeout",
    }
)

#: Options of other queues, and mistakes that no spelling is near to.
ELSEWHERE = {
    "countdown": "'delay' (seconds or a timedelta)",
    "delayed": "'delay' (seconds or a timedelta)",
    "eta": "'delay': delay=eta - timezone.now(), or schedule(..., next_run=eta)",
    "run_after": "'delay': delay=run_after - timezone.now(), or schedule(..., next_run=run_after)",
    "expires": "qcore has no such option; look at the time in the task",
    "priority": "'cluster': urgent tasks get a queue and workers of their own",
    "queue": "'cluster' (the name of the queue)",
    "queue_name": "'cluster' (the name of the queue)",
    "retries": "'max_attempts' (all deliveries, the first included)",
    "max_retries": "'max_attempts' (all deliveries, the first included)",
    "retry": "'max_attempts'; the setting 'retry' is the time between attempts",
    "time_limit": "'timeout' (seconds)",
    "soft_time_limit": "'timeout' (seconds)",
    "time_out": "'timeout' (seconds)",
    "link": "'hook' (called for failures, too)",
    "callback": "'hook' (called for failures, too)",
    "on_success": "'hook' (called for failures, too)",
    "ignore_result": "'save': save=False",
    "name": "'task_name'",
    "label": "'group'",
}


def instead_of(word: str) -> str:
    """Return `` - did you mean 'timeout' (seconds)?`` or the like, or ``""``."""
    known = ELSEWHERE.get(word)
    if known is None:
        return did_you_mean(word, OPTIONS)
    return f" - did you mean {known}?" if known[0] == "'" else f" - {known}"
