"""Flows for qcore: tasks that belong together.

The package is a plugin (the hooks below) and a Django app (``apps.py``, models,
migrations). Importing it does not import Django::

    batch graph         Batch, Flow: what users make
    handle nodes        what both have in common; Node
    references calling  nodes as arguments, and results in their places
    option joining      the option of a task, and how it becomes a member
    blocking            calls that wait for the database, and their async variants
    ending callbacks    ends are counted, and what follows is sent
    repair sweep        cancel, retry; what was lost; pruning
    whereabouts         what has become of tasks that nobody has told of
    status verb runs    what people see
    pages               what the dashboard shows of them
    tables models       the rows
    steps               durable steps
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from qcore import TaskOption, hookimpl
from qcore.errors import EnqueueError

from .option import OPTION, read_flow
from .steps.words import SPAWNED_BY

if TYPE_CHECKING:
    from qcore import Admission, Claim, NewTask, Setting, Settled, Task
    from qcore.pages import Page

    from .batch import Batch as Batch
    from .batch import acurrent_batch as acurrent_batch
    from .batch import current_batch as current_batch
    from .graph import Flow as Flow
    from .graph import acurrent_flow as acurrent_flow
    from .graph import current_flow as current_flow
    from .nodes import Node as Node
    from .status import FlowStatus as FlowStatus
    from .status import MemberStatus as MemberStatus
    from .steps.calls import atomic_step as atomic_step
    from .steps.calls import sleep_until as sleep_until
    from .steps.calls import step as step
    from .steps.calls import step_id as step_id
    from .steps.calls import wait_event as wait_event
    from .steps.errors import ChildFailed as ChildFailed
    from .steps.errors import EventTimeout as EventTimeout
    from .steps.errors import StepError as StepError
    from .steps.errors import WaitTimeout as WaitTimeout
    from .steps.events import aemit as aemit
    from .steps.events import emit as emit
    from .steps.resuming import aresume as aresume
    from .steps.resuming import resume as resume
    from .steps.spawning import spawn as spawn
    from .steps.waiting import wait as wait
    from .steps.waiting import wait_all as wait_all
    from .steps.words import RAISE as RAISE

# public name -> the module that defines it; loaded on first use, for models need Django
_PUBLIC = {
    "RAISE": "steps.words",
    "Batch": "batch",
    "ChildFailed": "steps.errors",
    "EventTimeout": "steps.errors",
    "Flow": "graph",
    "FlowStatus": "status",
    "MemberStatus": "status",
    "Node": "nodes",
    "StepError": "steps.errors",
    "WaitTimeout": "steps.errors",
    "acurrent_batch": "batch",
    "acurrent_flow": "graph",
    "aemit": "steps.events",
    "aresume": "steps.resuming",
    "atomic_step": "steps.calls",
    "current_batch": "batch",
    "current_flow": "graph",
    "emit": "steps.events",
    "resume": "steps.resuming",
    "sleep_until": "steps.calls",
    "spawn": "steps.spawning",
    "step": "steps.calls",
    "step_id": "steps.calls",
    "wait": "steps.waiting",
    "wait_all": "steps.waiting",
    "wait_event": "steps.calls",
}

__all__ = [*_PUBLIC]  # noqa: PLE0604 - the keys are strings


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'qcore_flows' has no attribute {name!r}")
    value = getattr(import_module(f".{_PUBLIC[name]}", __name__), name)
    globals()[name] = value
    return value


@hookimpl
def qcore_settings() -> list[Setting]:
    """Describe what the plugin reads of Q_CLUSTER."""
    from .settings import SETTING

    return [SETTING]


@hookimpl
def qcore_task_options() -> list[TaskOption]:
    """Describe the option ``flow``, and those of durable tasks."""
    from .steps.options import OPTIONS

    return [
        TaskOption(
            OPTION,
            read_flow,
            "The `qcore_flows.Batch` that the task becomes a member of, or its id;"
            " `Batch.add` sets it.",
        ),
        *OPTIONS,
    ]


# last: a task that another plugin skips never ends, and so must not be counted
@hookimpl(trylast=True)
def qcore_before_send(tasks: Sequence[NewTask]) -> None:
    """Make new tasks members of their flows; have this plugin told of durable tasks."""
    from django.apps import apps

    if not apps.is_installed("qcore_flows"):
        raise EnqueueError(
            "batches, graphs and durable tasks need 'qcore' and 'qcore_flows' in"
            " INSTALLED_APPS. Add them and run: python manage.py migrate"
        )
    from .joining import join
    from .steps.options import prepare
    from .steps.resuming import take_over

    prepare([new for new in tasks if new.options.keys() - {OPTION}])
    take_over([new for new in tasks if new.options.get("durable")])
    join([new for new in tasks if OPTION in new.options])


@hookimpl(wrapper=True)
def qcore_run_task(task: Task) -> Generator[None, Any, Any]:
    """Give a durable task the memory of its run."""
    plugins = task.options.plugins
    if not plugins or "durable" not in plugins:  # nearly always
        return (yield)
    from .steps.options import is_durable

    if not is_durable(task):
        return (yield)
    from .steps.run import DurableRun

    with DurableRun(task):
        return (yield)


@hookimpl
def qcore_process_started(role: str) -> None:
    """Start what keeps the run of a worker."""
    from django.apps import apps

    if role == "worker" and apps.is_installed("qcore_flows"):
        from .steps.renewal import RENEWAL

        RENEWAL.start()


@hookimpl
def qcore_admit(claims: Sequence[Claim]) -> list[Admission]:
    """Drop tasks that were given up: their flow, or their run, has gone on without them."""
    from .joining import admit

    return admit(claims)


@hookimpl
def qcore_wrap_call(
    task: Task,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    call: Callable[[Sequence[Any], Mapping[str, Any]], Any],
) -> Any:
    """Run a node with the results that it takes; refuse a result that others could not take."""
    plugins = task.options.plugins
    if not plugins:
        return call(args, kwargs)  # nearly always: an import costs each call over 1 µs
    own = plugins.get(OPTION)
    is_node = own and (own.get("takes") or own.get("gives"))
    if not is_node and SPAWNED_BY not in plugins:
        return call(args, kwargs)
    from .calling import call_member

    return call_member(task, args, kwargs, call)


@hookimpl
def qcore_settle(settled: Sequence[Settled]) -> None:
    """Count the ends of members, and send what follows; write down what becomes of runs."""
    from .ending import settle
    from .steps.settling import settle as settle_runs

    settle_runs(settled)
    settle(settled)


@hookimpl
def qcore_sweep(now: float) -> float:
    """Look for members that were lost; prune flows that ended long ago."""
    from django.apps import apps

    if not apps.is_installed("qcore_flows"):
        return 60.0  # there are no tables; the system check says so
    from .steps.sweeping import sweep as sweep_runs
    from .sweep import sweep
    from .tables import place

    rests: list[float] = []
    place().each((sweep, sweep_runs), lambda part: rests.append(part(now)))
    return min(rests)


@hookimpl
def qcore_dashboard_pages() -> list[Page]:
    """Return the pages of batches, graphs and durable tasks."""
    from django.apps import apps

    if not apps.is_installed("qcore_flows"):
        return []
    from .pages import PAGES

    return PAGES


@hookimpl
def qcore_checks(conf: Any) -> list[Any]:
    """Return what is wrong with the app, as Django check messages."""
    from .checks import check

    return check()
