"""Every hook that a plugin can implement. This file is the contract; it is short.

A plugin is a module named by an entry point in the group ``qcore``::

    from qcore import Provider, hookimpl

    @hookimpl
    def qcore_brokers():
        return [Provider("sqs", "qcore_sqs.broker:SQSBroker", claims=("sqs",))]

An implementation may take fewer arguments than are listed here. The first seven
hooks describe what a plugin can make, which settings it has and which options of tasks;
nothing of it is imported until it is used. ``qcore_adapt_settings`` translates the settings
of a project that was written for another queue. ``qcore_before_send``, ``qcore_admit``,
``qcore_wrap_call``, ``qcore_settle`` and ``qcore_sweep`` are for plugins that decide about tasks: each
implementation is called alone, nearly always with a batch. ``qcore_run_task`` wraps every execution, and ``qcore_run_hook`` every task
hook. The rest are observers: each is called alone, an exception in one is logged with the
plugin's name and changes nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from .conf import Conf, Setting
    from .envelope import Result, Task
    from .features import Admission, Claim, TaskOption
    from .pages import Page
    from .plugins import Provider
    from .settled import Settled
    from .status import Snapshot
    from .tasks.new_tasks import NewTask

PROJECT = "qcore"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def qcore_brokers() -> list[Provider]:  # type: ignore[empty-body]
    """Return the brokers of this plugin: subclasses of ``qcore.brokers.base.Broker``."""


@hookspec
def qcore_error_reporters() -> list[Provider]:  # type: ignore[empty-body]
    """Return the error reporters: ``qcore.reporters.base.ErrorReporter``."""


@hookspec
def qcore_cache_backends() -> list[Provider]:  # type: ignore[empty-body]
    """Return the cache backends: ``qcore.caches.base.CacheBackend``."""


@hookspec
def qcore_schedulers() -> list[Provider]:  # type: ignore[empty-body]
    """Return the schedulers: ``qcore.schedules.base.Scheduler``."""


@hookspec
def qcore_result_stores() -> list[Provider]:  # type: ignore[empty-body]
    """Return the result stores: ``qcore.results.base.ResultStore``."""


@hookspec
def qcore_settings() -> list[Setting]:  # type: ignore[empty-body]
    """Return the keys of ``Q_CLUSTER`` that this plugin reads, each a ``qcore.Setting``.

    qcore checks them with its own settings, shows them in ``qcore info --config``, and
    passes them to the plugin in ``conf.options``: the value of the project, or the default.
    """


@hookspec
def qcore_task_options() -> list[TaskOption]:  # type: ignore[empty-body]
    """Return the options that this plugin adds to tasks, each a ``qcore.TaskOption``.

    A caller writes such an option into ``q_options``. qcore checks the value where the call
    is made, and suggests the option for a word that is nearly its name.
    """


@hookspec
def qcore_before_send(tasks: Sequence[NewTask]) -> None:
    """Look at new tasks before they are sent, and change them, skip them or refuse them.

    Runs in the sender, once for each new task, whoever sends it: a call, a chain (its
    next link is sent by a worker), a schedule, "send again" in the admin. A package that
    is sent again is no new task. All tasks of a batch go to one queue. A plugin that declares
    options sees the tasks that have one of them; a plugin without options sees every task.
    An implementation with ``@hookimpl(trylast=True)`` is asked after all others, and so about
    tasks only that nobody else has skipped.

    If a task of the batch has an option of a plugin, the hook runs in a transaction of the
    ledger's database, and the tasks are sent with the commit of that transaction: what
    the hook writes to this database (``qcore.runtime.current.ledger``) and the task stand or fall
    together. The next link of a chain and the slot of a schedule have ids that are derived.
    After a crash such a task is made again with the same id, and the hook is asked again: it
    must give the same answer for an id that it has seen.

    An ``EnqueueError`` refuses the whole batch, and the caller gets the error. So does any
    other exception of a plugin that declares options, or of a database. Any other exception
    of a plugin without options is logged, and the tasks are sent as if it had not been asked.
    """


@hookspec
def qcore_admit(claims: Sequence[Claim]) -> Sequence[Admission]:  # type: ignore[empty-body]
    """Return for each claimed task, in their order, whether it may run.

    The answers:

    - ``RUN``: the task runs;
    - ``RUN_HOLDING``: the task runs, and ``qcore_renew`` is called for it meanwhile;
    - ``Drop``: the task ends with an outcome that is stored;
    - ``Later``: the task is sent again after some seconds;
    - ``Park``: the task waits in the outbox until this plugin wakes it
      (``qcore.runtime.current.ledger.wake``);
    - ``Release``: the delivery is given back for some seconds; the answer for a copy of a
      task that runs.

    Only a task that runs uses up an attempt.

    Runs in the pusher of a cluster, in one transaction of the ledger's database for each
    batch. Only the plugins in ``task.needs`` are asked, in that order, and the first answer
    that is not ``RUN`` is the last. A plugin that has let a task run, which a plugin behind it
    does not, hears of that in the same transaction: ``qcore_settle`` with a ``Settled`` that is
    ``unstarted`` and has the ``start`` of the claim.

    If an implementation raises, the transaction is rolled back and each half of the batch is
    tried alone, until the claim that is the reason is alone. That delivery is given back for
    some seconds and tried again; ``qcore monitor`` shows the problem.
    """


@hookspec
def qcore_wrap_call(
    task: Task,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    call: Callable[[Sequence[Any], Mapping[str, Any]], Any],
) -> Any:
    """Run a task that needs this plugin: ``return call(args, kwargs)``, with changes.

    Runs in a worker, for the plugins in ``task.needs`` only, the first one outermost, and
    around ``qcore_run_task``. An implementation may call with other arguments, and return
    another value. What it raises is as if the task had raised it: ``Snooze`` and
    ``Discard`` work here, too. The timeout of the task covers the innermost call alone.

    Args:
        task: that runs.
        args: positional arguments, decoded.
        kwargs: keyword arguments, decoded.
        call: runs the task; once, if at all.
    """


@hookspec
def qcore_renew(claims: Sequence[Claim]) -> Collection[str] | None:
    """Renew what running tasks hold; return the ids of tasks that have lost their hold.

    Runs in a thread of a cluster every 15 seconds, in a transaction of the ledger's database.
    The claims are of all tasks that need this plugin and that some plugin has answered with
    ``RUN_HOLDING``, from their admission until their end is recorded. ``claim.start`` is the
    start of that admission: do not renew what another start holds.

    A cluster that cannot have a hold renewed for 40 seconds kills the worker of the task. It
    also kills the workers of the tasks whose ids are returned. A hold must therefore last for
    60 seconds by the clock of the ledger's database: by then, the task does not run any more.
    """


@hookspec
def qcore_settle(settled: Sequence[Settled]) -> None:
    """Learn what has become of deliveries of tasks that need this plugin, a batch at a time.

    Runs in the recorder of a cluster, in the transaction of the ledger's database that
    writes down how the tasks have ended, before their deliveries are acknowledged. So what
    the hook writes to this database is there if, and only if, the task has ended so. After a
    lost acknowledgement, the same ``Settled`` may come again.

    If an implementation raises, the transaction is rolled back and each half of the batch is
    tried alone, until the task that is the reason is alone. The delivery of that task stays
    unacknowledged, with its lease renewed, and is tried again; ``qcore monitor`` shows the
    problem. If the hook raises for a delivery that is given back, that is logged, and the
    delivery is given back.
    """


@hookspec
def qcore_sweep(now: float) -> float | None:
    """Do what is due in the tables of this plugin; return the seconds until the next call.

    Runs in each cluster, whatever queue it serves, so several clusters may sweep at the
    same time. Each plugin has a thread of its own there. None means that nothing is known
    to be due; the hook is called again after a minute at the latest. After an exception the
    hook is called again after a pause. If it hangs, the status of the cluster says so after
    a minute. Nobody else is affected by either.

    Args:
        now: seconds since the epoch by the clock of the ledger's database.
    """


@hookspec
def qcore_adapt_settings(
    options: Mapping[str, Any], known: frozenset[str]
) -> Mapping[str, Any] | None:
    """Return ``Q_CLUSTER`` as qcore is to read it, for a project written for another queue.

    Called whenever the settings are read, before they are checked. ``options`` is what
    the project says, or what another plugin has made of it; do not change it. ``known``
    are the keys of qcore and of all plugins. None changes nothing, and is the answer for
    every project that is not meant. An exception is logged and changes nothing. What the
    user should know of a change is told by ``qcore_checks``.
    """


@hookspec(firstresult=True)
def qcore_run_task(task: Task, call: Callable[[], Any]) -> Any:
    """Run one task and return its value; runs in a worker, or where ``sync`` calls.

    The default is ``call()``. Middleware wraps it with ``@hookimpl(wrapper=True)``:
    what comes before the ``yield`` runs before the task, its value is the
    result of the ``yield``, and an exception of the task is raised there.
    """


@hookspec(firstresult=True)
def qcore_run_hook(task: Task, call: Callable[[], Any]) -> Any:
    """Call the hook of a finished task; runs where the task ran, after its result is stored.

    Wrap it like ``qcore_run_task``. An exception of the hook is raised at the ``yield``
    and logged after that.
    """


@hookspec
def qcore_process_started(role: str, conf: Conf) -> None:
    """Observe that a process has begun: "sentinel", "dispatcher" or "worker"."""


@hookspec
def qcore_process_stopping(role: str, conf: Conf) -> None:
    """Observe that a process is about to end in order; runs in that process."""


@hookspec
def qcore_task_enqueued(task: Task) -> None:
    """Observe, in the producer, that the broker has taken a task."""


@hookspec
def qcore_results_recorded(results: Sequence[Result]) -> None:
    """Observe, in the dispatcher, that a batch of results is stored."""


@hookspec
def qcore_snapshot_taken(snapshot: Snapshot) -> None:
    """Observe, in the dispatcher, what the cluster says of itself.

    A cluster says something within ``guard_cycle`` after a change, and every five seconds
    where nothing changes. Observers are told before the snapshot is published, and also
    where it cannot be.
    """


@hookspec
def qcore_dashboard_pages() -> list[Page]:  # type: ignore[empty-body]
    """Return the pages of this plugin for the dashboard, each a ``qcore.pages.Page``.

    The plugin ``qcore-dashboard`` shows them in the admin, and as JSON. Each implementation is
    called alone: where one fails, or describes a page wrongly, that is logged with the
    plugin's name, and its pages are left out.
    """


@hookspec
def qcore_checks(conf: Conf) -> list[Any]:  # type: ignore[empty-body]
    """Return Django check messages about this plugin's own settings."""
