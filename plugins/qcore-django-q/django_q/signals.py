"""The signals of django-q: sender ``"django_q"``, tasks as dictionaries.

Each is fed by the signal of qcore of the same name, from its first receiver on: a project
that connects to none of them pays for none. A receiver that raises is logged, and changes
nothing else.
"""

from __future__ import annotations

import datetime as dt
import importlib
import threading
from collections.abc import Callable
from typing import Any

from django.dispatch import Signal

from qcore import signals as ours
from qcore.envelope import Result
from qcore.errors import QcoreError
from qcore.runtime import current

from .conf import logger
from .packages import dict_of

SENDER = "django_q"

_sending = threading.local()


class Bridged(Signal):
    """A signal that qcore's signal of a name feeds, once somebody listens.

    Args:
        name: of the signal in ``qcore.signals``.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def connect(self, receiver: Any, *args: Any, **kwargs: Any) -> None:
        """Connect a receiver; see Django's ``Signal.connect``."""
        super().connect(receiver, *args, **kwargs)
        signal: Signal = getattr(ours, self._name)
        signal.connect(_FEEDS[self._name], dispatch_uid=f"django_q.{self._name}")

    def disconnect(self, *args: Any, **kwargs: Any) -> bool:
        """Disconnect a receiver; with the last one, nothing is fed any more."""
        found = super().disconnect(*args, **kwargs)
        if not self.receivers:
            signal: Signal = getattr(ours, self._name)
            signal.disconnect(dispatch_uid=f"django_q.{self._name}")
        return found


#: In the producer, before signing. ``task``: a dict that a receiver may change.
pre_enqueue = Bridged("pre_enqueue")
#: In the worker, before the task. ``func``, and ``task``: a dict.
pre_execute = Bridged("pre_execute")
#: In the worker, after the task. ``func``, and ``task``: a dict with result and success.
post_execute_in_worker = Bridged("post_execute_in_worker")
#: In the dispatcher, once the result is stored. ``task``: a dict.
post_execute = Bridged("post_execute")
#: In a worker process that has started. ``proc_name``: its title.
post_spawn = Bridged("post_spawn")


def announce(task: dict[str, Any]) -> None:
    """Send ``pre_enqueue`` for a task of this package; qcore's own is not passed on."""
    if not pre_enqueue.receivers:
        return
    pre_enqueue.send(sender=SENDER, task=task)


class Quiet:
    """A context in which qcore's ``pre_enqueue`` is not passed on: it was sent already."""

    def __enter__(self) -> None:
        _sending.quiet = True

    def __exit__(self, *_: object) -> None:
        _sending.quiet = False


def _feed_pre_enqueue(task: dict[str, Any], **_: Any) -> None:
    if not getattr(_sending, "quiet", False):
        pre_enqueue.send(sender=SENDER, task=task)


def _feed_pre_execute(func: Any, task: Any, **_: Any) -> None:
    pre_execute.send_robust(sender=SENDER, func=func, task=dict_of(task))


def _feed_post_execute_in_worker(
    func: Any,
    task: Any,
    error: BaseException | None = None,
    result: Any = None,
    **_: Any,
) -> None:
    known = dict_of(task)
    known["success"] = error is None
    known["result"] = result if error is None else f"{type(error).__name__}: {error}"
    known["stopped"] = dt.datetime.now(dt.UTC)
    post_execute_in_worker.send_robust(sender=SENDER, func=func, task=known)


def _feed_post_execute(task: Result, **_: Any) -> None:
    post_execute.send_robust(sender=SENDER, task=result_dict(task))


def _feed_post_spawn(proc_name: str = "", **_: Any) -> None:
    post_spawn.send_robust(sender=SENDER, proc_name=proc_name)


_FEEDS: dict[str, Callable[..., Any]] = {
    "pre_enqueue": _feed_pre_enqueue,
    "pre_execute": _feed_pre_execute,
    "post_execute_in_worker": _feed_post_execute_in_worker,
    "post_execute": _feed_post_execute,
    "post_spawn": _feed_post_spawn,
}


def result_dict(result: Result) -> Any:
    """Return the dictionary of a finished task, its result included."""
    from qcore.results.content import load_bytes

    known = dict_of(result.task)
    known["success"] = result.success
    known["stopped"] = dt.datetime.fromtimestamp(result.stopped, dt.UTC)
    accept = current.conf.accept_content
    try:
        known["result"] = load_bytes(result.value, result.content, accept)
    except QcoreError as error:
        known["result"] = str(error)
    return known


def call_hook(sender: object, instance: Any, **_: Any) -> None:
    """Call the hook of a finished task; an error of the hook is logged.

    Args:
        sender: the model, as ``post_save`` gives it.
        instance: the task.
    """
    hook = instance.hook
    if not hook:
        return
    if not callable(hook):
        module, _dot, name = str(hook).rpartition(".")
        try:
            hook = getattr(importlib.import_module(module), name)
        except (ValueError, ImportError, AttributeError) as error:
            logger.error(
                "the hook %r of %s cannot be found: %s", hook, instance.name, error
            )
            return
    try:
        hook(instance)
    except Exception as error:  # noqa: BLE001 - it is the project's code
        logger.error("the hook %r of %s has failed: %s", hook, instance.name, error)
