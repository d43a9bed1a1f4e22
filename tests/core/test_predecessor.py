"""The calls that users of django-q and django-q2 know, with their names and defaults.

The table says what their documentation has; where a default was a setting
(``Conf.CACHED``, ``Conf.SYNC``), it is None here, which means the setting.
"""

from __future__ import annotations

import inspect
from importlib import import_module

import pytest
from support.declared import TABLE

import qcore.tasks as api
from qcore.conf import Conf, advice, problems
from qcore.management.commands import qcluster, qinfo, qmemory, qmonitor

NEEDED = inspect.Parameter.empty
WAIT = {"wait": 0}
FROM_CACHE = {"cached": None}
GROUP = {"group_id": NEEDED}

CALLS = {
    "result": {"task_id": NEEDED, **WAIT, **FROM_CACHE},
    "result_cached": {"task_id": NEEDED, **WAIT, "broker": None},
    "fetch": {"task_id": NEEDED, **WAIT, **FROM_CACHE},
    "fetch_cached": {"task_id": NEEDED, **WAIT, "broker": None},
    "delete_cached": {"task_id": NEEDED, "broker": None},
    "result_group": {**GROUP, "failures": False, **WAIT, "count": None, **FROM_CACHE},
    "result_group_cached": {
        **GROUP,
        "failures": False,
        **WAIT,
        "count": None,
        "broker": None,
    },
    "fetch_group": {**GROUP, "failures": True, **WAIT, "count": None, **FROM_CACHE},
    "fetch_group_cached": {
        **GROUP,
        "failures": True,
        **WAIT,
        "count": None,
        "broker": None,
    },
    "count_group": {**GROUP, "failures": False, **FROM_CACHE},
    "count_group_cached": {**GROUP, "failures": False, "broker": None},
    "delete_group": {**GROUP, "tasks": False, **FROM_CACHE},
    "queue_size": {"broker": None},
    "async_chain": {
        "chain": NEEDED,
        "group": None,
        **FROM_CACHE,
        "sync": None,
        "broker": None,
    },
    "Iter": {
        "func": None,
        "args": None,
        "kwargs": None,
        **FROM_CACHE,
        "sync": None,
        "broker": None,
    },
    "Iter.append": {"args": NEEDED},
    "Iter.result": WAIT,
    "Iter.fetch": WAIT,
    "Iter.length": {},
    "Chain": {"chain": None, "group": None, **FROM_CACHE, "sync": None, "broker": None},
    "Chain.append": {"func": NEEDED, "args": NEEDED, "kwargs": NEEDED},
    "Chain.result": WAIT,
    "Chain.fetch": {"failures": True, **WAIT},
    "Chain.current": {},
    "Chain.length": {},
    "AsyncTask": {"func": NEEDED, "args": NEEDED, "kwargs": NEEDED},
    "AsyncTask.result": WAIT,
    "AsyncTask.fetch": WAIT,
    "AsyncTask.result_group": {"failures": False, **WAIT, "count": None},
    "AsyncTask.fetch_group": {"failures": True, **WAIT, "count": None},
    "async_task": {"func": NEEDED, "args": NEEDED, "kwargs": NEEDED},
    "async_iter": {
        "func": NEEDED,
        "args_iter": NEEDED,
        "kwargs": NEEDED,
        "on_complete": None,
    },
    "schedule": {"func": NEEDED, "args": NEEDED, "kwargs": NEEDED},
}
ATTRIBUTES = {
    "qcore.models:Task": "id name func hook args kwargs result group cluster started"
    " stopped success attempt_count get_result get_result_group get_group_count"
    " delete_group get_task get_task_group group_result group_count group_delete"
    " time_taken short_result",
    "qcore.results.finished:FinishedTask": "args kwargs result time_taken",
    "qcore.models:Schedule": "name func hook args kwargs schedule_type minutes repeats"
    " next_run cron task cluster intended_date_kwarg success last_run"
    " calculate_next_run ONCE MINUTES HOURLY DAILY WEEKLY BIWEEKLY MONTHLY BIMONTHLY"
    " QUARTERLY YEARLY CRON TYPE",
    "qcore_orm.models:OrmQ": "key payload task func task_id name group",
    "qcore:Broker": "enqueue dequeue acknowledge fail delete purge_queue delete_queue"
    " queue_size lock_size ping info set_stat get_stats",
    "qcore.brokers:get_broker": "__call__",
    "qcore.signals": "pre_enqueue pre_execute post_execute post_execute_in_worker"
    " post_spawn",
    "qcore.admin": "SuccessAdmin FailureAdmin ScheduleAdmin",
    "qcore.tasks:AsyncTask": "broker sync save hook group cached run",
}
OPTIONS = {
    qcluster: ["--run-once", "-n", "--name"],
    qmonitor: ["--run-once"],
    qinfo: ["--config", "--ids"],
    qmemory: ["--run-once"],
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_takes_what_it_took(name):
    thing = api
    for part in name.split("."):
        thing = getattr(thing, part)
    parameters = dict(inspect.signature(thing).parameters)
    parameters.pop("self", None)
    found = {key: value.default for key, value in parameters.items()}
    known = CALLS[name]
    # further ones may follow, and only there
    assert dict(list(found.items())[: len(known)]) == known


@pytest.mark.parametrize("place", ATTRIBUTES)
def test_what_was_there_is_there(place):
    module, _, name = place.partition(":")
    pytest.importorskip(module.partition(".")[0])
    thing = import_module(module)
    thing = getattr(thing, name) if name else thing
    assert [one for one in ATTRIBUTES[place].split() if not hasattr(thing, one)] == []


@pytest.mark.parametrize("module", OPTIONS)
def test_a_command_takes_what_it_took(module):
    parser = module.Command().create_parser("manage.py", "command")
    assert set(OPTIONS[module]) <= set(parser._option_string_actions)


#: Every key of ``Q_CLUSTER`` that django-q 1.3.9 or django-q2 1.11 reads.
KEYS = [
    "name",
    "workers",
    "daemonize_workers",
    "recycle",
    "max_rss",
    "timeout",
    "ack_failures",
    "max_attempts",
    "retry",
    "compress",
    "save_limit",
    "save_limit_per",
    "guard_cycle",
    "sync",
    "queue_limit",
    "label",
    "catch_up",
    "redis",
    "django_redis",
    "disque_nodes",
    "disque_auth",
    "disque_fastack",
    "iron_mq",
    "sqs",
    "orm",
    "has_replica",
    "mongo",
    "mongo_db",
    "broker_class",
    "bulk",
    "poll",
    "cache",
    "cached",
    "scheduler",
    "error_reporter",
    "cpu_affinity",
    "log_level",
    "time_zone",
    "cluster_name",
    "ALT_CLUSTERS",
    "testing",
]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_a_setting_or_is_told_to_have_no_effect(key):
    names = {setting.name for setting in TABLE}
    if key in names:
        return
    assert problems({key: True}) == []
    told = advice(Conf.from_dict({key: True}))
    (advised,) = [one for one in told if one.id == "qcore.W006"]
    assert advised.message.startswith(f"Q_CLUSTER['{key}'] has no effect: ")


def test_every_key_is_here():
    assert len(KEYS) == len(set(KEYS)) == 41
