"""A cluster, put together from the current project and the engine."""

from __future__ import annotations

import logging
import os
import socket
import sys
import uuid
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from .. import __version__, health, status
from ..conf import Conf
from ..engine.sentinel.sentinel import Sentinel
from ..engine.services import Services
from ..errors import BrokerError, ConfigError
from ..processes import lives
from ..runtime import current
from ..schedules.registry import DECLARED
from ..signals import SENDER, post_execute, post_spawn
from ..tasks import discovery
from ..tasks.execute import report
from ..tasks.new_tasks import prepare
from . import connections, patches
from .hung_connections import HungConnections
from .publishing import Publishing, responds

if TYPE_CHECKING:
    from ..ledger.control import ControlWatch
    from ..ledger.features import Features
    from ..ledger.relay import Relay
    from ..ledger.settlement import Ledger
    from ..ledger.sweep import Sweep

logger = logging.getLogger("qcore.cluster")

#: Seconds that error reporters have to send what is left, in each process.
_FLUSH = 2.0


def run(conf: Conf | None = None, *, run_once: bool = False) -> int:
    """Run a cluster in the foreground until it is told to stop.

    Args:
        conf: None means the project's settings.
        run_once: stop when the queue is empty and every task has ended.

    Returns:
        The exit code: 0 after an orderly stop, 1 otherwise.

    Raises:
        ConfigError: the system cannot run a cluster, or the settings are wrong.
        PluginError: the settings name no usable broker.
    """
    if sys.platform == "win32":
        raise ConfigError(
            "a cluster needs a POSIX system (Linux, macOS): workers are forked and their"
            " timeouts are signals. Here Q_CLUSTER['sync'] = True runs tasks in the"
            " caller."
        )
    conf = conf or current.conf
    patches.refuse()
    current.load()  # a missing or broken plugin is told before any fork
    # Before it, too: what is wrong with a reporter is told once, and its driver, which
    # may take a second to load, is there when the dispatcher has to report a death.
    current.load_reporters()
    _prepare(conf)
    patches.refuse()  # once more: modules of tasks have been imported
    sentinel = Sentinel(services(conf), uuid.uuid4().hex, run_once=run_once)
    try:
        return sentinel.run()
    finally:
        health.remove(os.getpid())


def _prepare(conf: Conf) -> None:
    """Do before any fork what can be done once: then it is in memory once, too."""
    if conf.scheduler:
        current.scheduler.prepare()
    # they tell what is wrong with them, and are loaded once
    _make_relay(conf)
    _make_ledger(conf)
    _make_watch(conf)
    if conf.preload:
        broken = discovery.load_all()
        if conf.scheduler:
            _sync(broken)


def _sync(broken: Mapping[str, BaseException]) -> None:
    """Write the schedules of the code to their table, and close the connection."""
    from django.apps import apps
    from django.db import connections as of_django
    from django.db import router

    if not apps.is_installed("qcore"):
        return
    from ..models import Schedule

    database = router.db_for_write(Schedule)
    if _has_declared(database):
        from ..schedules.sync import sync_guarded

        sync_guarded("at the start of the cluster", broken)
    of_django[database].close()


def _has_declared(database: str) -> bool:
    """Whether the code declares a schedule, or has a row of one; or nobody can tell."""
    from django.core.exceptions import ImproperlyConfigured
    from django.db import Error

    from ..models import Schedule

    try:
        rows = Schedule.objects.using(database).filter(declared=True)
        return bool(DECLARED) or rows.exists()
    except (Error, ImproperlyConfigured):  # the latter where a project has no database
        return True  # the sync says what is wrong


def services(conf: Conf) -> Services:
    """Return what the engine needs to run the current project."""
    tidy = connections.Tidy()
    queue = conf.queue
    return Services(
        conf=conf,
        version=__version__,
        make_broker=lambda: current.broker(conf.queue),
        make_store=lambda: current.results,
        make_scheduler=lambda: current.scheduler,
        make_relay=partial(_make_relay, conf),
        make_ledger=partial(_make_ledger, conf),
        sweepers=tuple(current.registry.features.sweep),
        make_sweep=_make_sweep,
        make_features=_make_features,
        prepare=prepare,
        make_watch=partial(_make_watch, conf),
        make_cut=lambda: HungConnections().cut,
        make_tracker=lambda: current.tracker,
        verify=lambda package: current.signer.verify(package, queue),
        sign=current.signer.sign,
        broker_name=current.choice("broker").name,
        broker_info=BrokerInfo(),
        publish=Publishing(),
        notify=_notify,
        running=running_elsewhere,
        report=report,
        responds=partial(responds, os.getpid()),
        before_fork=_before_fork,
        after_fork=lambda role: _after_fork(role, conf),
        tidy=tidy.after,
        before_exit=_before_exit,
    )


def _make_relay(conf: Conf) -> Relay | None:
    """Return what sends what is due in the outbox; None where there is no outbox."""
    if current.outbox is None:
        return None
    from ..ledger.relay import Relay  # its tables need Django to be set up

    return Relay(conf)


def _make_ledger(conf: Conf) -> Ledger | None:
    """Return the ledger for the calling thread; None where there is none."""
    if current.outbox is None:
        return None
    from ..ledger.settlement import Ledger  # its tables need Django to be set up

    return Ledger(conf, current.registry.features)


def _make_sweep(plugin: str) -> Sweep | None:
    """Return what lets a plugin sweep; None without a ledger."""
    if (ledger := current.ledger) is None:
        return None
    from ..ledger.sweep import Sweep

    return Sweep(plugin, current.registry.features.sweep[plugin], ledger)


def _make_features() -> Features:
    """Return what asks plugins about the tasks that need them."""
    from ..ledger.features import Features

    return Features(current.registry.features, current.ledger, current.signer.sign)


def _make_watch(conf: Conf) -> ControlWatch | None:
    """Return what looks for pauses and cancelled tasks; None where there is no ledger."""
    if current.control is None:
        return None
    from ..ledger.control import ControlWatch  # as above

    return ControlWatch(conf)


class BrokerInfo:
    """Name and version of the service, asked until it has answered once."""

    def __init__(self) -> None:
        self._known = ""

    def __call__(self) -> str:
        """Return them, or "not reached yet"."""
        if not self._known:
            try:
                self._known = current.broker().info()
            except Exception as error:  # noqa: BLE001 - it may be a stranger's code
                if not isinstance(error, BrokerError):
                    kind = type(error).__name__
                    logger.warning("the broker's info() has failed: %s", kind)
                return "not reached yet"
        return self._known


def running_elsewhere() -> set[str]:
    """Return the ids of the tasks that other clusters run, as far as they have told.

    For the dispatcher. What a cluster of this host has said counts while its process
    lives; that of another one, for as long as its last word does.

    Raises:
        QcoreError: nobody can tell.
    """
    if status.route() == "none":
        raise BrokerError("the status of other clusters cannot be read")
    here = socket.gethostname()
    found = set()
    for snapshot in status.running():
        if snapshot.host != here or _lives(snapshot.sentinel_pid):
            found |= {worker.task_id for worker in snapshot.workers if worker.task_id}
    return found


def _lives(sentinel: int) -> bool:
    """Whether a process is there, and is not our own sentinel, which says it otherwise.

    In a container that was started again, the dead cluster had the number of the new one.
    """
    return sentinel != os.getppid() and lives(sentinel)


def _notify(hook: str, /, **arguments: object) -> None:
    """Tell plugins, and the receivers of Django's signals."""
    current.registry.notify(hook, **arguments)
    if hook == "qcore_results_recorded" and post_execute.receivers:
        for result in arguments["results"]:  # type: ignore[attr-defined]
            post_execute.send_robust(sender=SENDER, task=result)
    elif hook == "qcore_process_started" and arguments["role"] == "worker":
        post_spawn.send_robust(sender=SENDER, proc_name=f"worker {os.getpid()}")


def _before_fork() -> None:
    current.close()
    connections.close_all()


def _after_fork(role: str, conf: Conf) -> None:
    connections.keep_open(conf.retry)
    if role != "worker":  # a task may look at its statements, which end with it
        connections.keep_no_statements()


def _before_exit() -> None:
    current.flush_reporters(_FLUSH)
    connections.close_all()
