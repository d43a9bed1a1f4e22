"""``django_q.tasks``: what is sent, and what is found."""

from __future__ import annotations

import datetime as dt

import pytest
from chores.old_project import NOTED, Parcel, fail, weigh
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.utils import timezone

from django_q import signals
from django_q.brokers import Broker, get_broker
from django_q.conf import Conf
from django_q.models import OrmQ, Schedule, Task
from django_q.monitor import monitor, save_cached, save_task
from django_q.monitor_terminal import monitor as watch
from django_q.pusher import pusher
from django_q.queues import Queue
from django_q.scheduler import scheduler
from django_q.signing import BadSignature, SignedPackage
from django_q.tasks import (
    AsyncTask,
    Chain,
    Iter,
    async_chain,
    async_task,
    count_group,
    delete_group,
    fetch,
    fetch_cached,
    fetch_group,
    queue_size,
    result,
    result_cached,
    result_group,
    schedule,
)
from django_q.worker import worker
from qcore import signals as ours
from qcore.testing.drain import drain

pytestmark = pytest.mark.django_db


KEEP = "chores.old_project.keep"


class Flag:
    """An event that is set: one pass, and no more."""

    def is_set(self) -> bool:
        return True


class Line(list):
    """A queue of one process."""

    put = list.append

    def get(self) -> object:
        return self.pop(0)


def test_a_task_goes_and_comes_back_as_a_model_of_django_q() -> None:
    task_id = async_task("math.gcd", 12, 18, task_name="gcd", group="sums")
    assert queue_size() == 1
    drain()
    assert result(task_id) == result("gcd") == 6
    found = fetch(task_id)
    assert type(found) is Task
    assert (found.args, found.group, found.success) == ((12, 18), "sums", True)
    assert result_group("sums") == [6]
    assert [task.pk for task in fetch_group("sums")] == [task_id]
    assert count_group("sums") == 1
    assert delete_group("sums") == 1
    assert result_group("sums") is None


def test_objects_travel_as_pickles_without_a_setting() -> None:
    task_id = async_task(weigh, Parcel(4))
    drain()
    assert result(task_id).weight == 5


def test_names_are_four_words() -> None:
    async_task("math.gcd", 1, 2)
    assert len(OrmQ.objects.get().name().split("-")) == 4


def test_options_stand_among_the_keywords_or_in_q_options(caplog) -> None:
    async_task("math.gcd", 1, 2, q_options={"group": "inner", "colour": "red"})
    assert "'colour'" in caplog.text
    assert OrmQ.objects.get().group() == "inner"
    task_id = async_task(KEEP, group="mine", q_options={"group": "label"}, hue=3)
    drain(raises=False)
    # as in django-q: an option in both places is the one of q_options, and an argument
    assert result(task_id) == {"group": "mine", "hue": 3}


def test_an_id_can_be_chosen() -> None:
    assert async_task("math.gcd", 1, 2, task_id="ab" * 16) == "ab" * 16
    assert OrmQ.objects.get().task_id() == "ab" * 16


def test_pre_enqueue_knows_the_id_and_may_change_the_task() -> None:
    seen = []

    def receiver(sender: str, task: dict[str, object], **_: object) -> None:
        seen.append((sender, task["id"], task["name"]))
        task["kwargs"] = {"hue": 7}

    signals.pre_enqueue.connect(receiver)
    try:
        task_id = async_task(KEEP)
    finally:
        signals.pre_enqueue.disconnect(receiver)
    drain()
    assert [(sender, id) for sender, id, _ in seen] == [("django_q", task_id)]
    assert result(task_id) == {"hue": 7}


def test_the_signals_of_a_worker_have_dictionaries() -> None:
    seen = []

    def before(sender: str, func: object, task: dict[str, object], **_: object) -> None:
        seen.append((sender, func, task["args"]))

    def after(sender: str, task: dict[str, object], **_: object) -> None:
        assert isinstance(task["stopped"], dt.datetime)
        weight = getattr(task["result"], "weight", task["result"])
        seen.append((sender, task["success"], weight))

    signals.pre_execute.connect(before)
    signals.post_execute_in_worker.connect(after)
    try:
        async_task(weigh, Parcel(1), sync=True)
        with pytest.raises(ValueError, match="no"):
            async_task(fail, sync=True)
    finally:
        signals.pre_execute.disconnect(before)
        signals.post_execute_in_worker.disconnect(after)
    assert not (ours.pre_execute.receivers or ours.post_execute_in_worker.receivers)
    assert seen[0][:2] == ("django_q", weigh)
    assert seen[0][2][0].weight == 1
    assert [one[1:] for one in seen if isinstance(one[1], bool)] == [
        (True, 2),
        (False, "ValueError: no"),
    ]


def test_conf_is_live_and_can_be_set(monkeypatch, configured) -> None:
    configured(timeout=17, label="Ours")
    assert (Conf.TIMEOUT, Conf.LABEL, Conf.PREFIX) == (17, "Ours", "drop-in")
    assert Conf.ORM == "default"
    monkeypatch.setattr(Conf, "SYNC", True)
    assert result(async_task("math.gcd", 9, 6)) == 3
    monkeypatch.undo()
    assert Conf.SYNC is False
    with pytest.raises(AttributeError, match="NOTHING"):
        _ = Conf.NOTHING


def test_inside_a_transaction_a_task_is_sent_at_once(configured) -> None:
    configured(orm=None, memory={})
    async_task("math.gcd", 1, 2)  # the test itself is a transaction
    assert queue_size() == 1
    get_broker().purge_queue()


def test_a_result_can_be_kept_in_the_cache_alone() -> None:
    task_id = async_task("math.gcd", 8, 12, save=False, cached=True)
    drain()
    assert result(task_id) is None
    assert result_cached(task_id) == 4
    found = fetch_cached(task_id)
    assert type(found) is Task
    assert found.args == (8, 12)


def test_chain_iter_and_asynctask() -> None:
    chain = Chain()
    chain.append("math.gcd", 4, 2)
    chain.append("math.gcd", 9, 3)
    assert chain.run()
    assert chain.current() == 1
    drain()
    assert chain.current() == chain.length() == 2
    assert chain.result(wait=10) == [2, 3]
    calls = [("math.gcd", (4, 6)), "time.time"]
    async_chain(calls)
    assert len(calls) == 2
    iterated = Iter("math.gcd")
    iterated.append(4, 6)
    iterated.append(3, 9)
    iterated.run()
    one = AsyncTask("math.gcd", 5, 10, q_options={"group": "a"})
    one.group = "b"
    assert one.kwargs["q_options"] == {"group": "b"}
    one.run()
    drain()
    assert iterated.result() == [2, 3]
    assert (one.result(), one.result_group()) == (5, [5])


def test_a_schedule_has_arguments_as_text_of_literals() -> None:
    row = Schedule.objects.create(func="math.gcd", args="4, 6", kwargs="")
    assert row.args == "4, 6"
    again = Schedule.objects.get(pk=row.pk)
    assert again.args == "(4, 6)"
    again.args = "8, 12"
    again.save()
    assert Schedule.objects.filter(args="8, 12").count() == 1
    keyed = Schedule.objects.create(func=KEEP, kwargs="hue=1, name='x'")
    assert Schedule.objects.get(pk=keyed.pk).kwargs == "{'hue': 1, 'name': 'x'}"
    Schedule.objects.filter(pk=keyed.pk).update(kwargs="{'hue': 2}")
    scheduler()
    drain()
    assert Task.objects.get(func__endswith="keep").result == {"hue": 2}
    assert Task.objects.get(func="math.gcd").result == 4
    with pytest.raises(ValidationError, match="literals"):
        Schedule(func="math.gcd", args="open('x')").full_clean()


def test_names_of_schedules_need_not_be_unique() -> None:
    first = Schedule.objects.create(name="daily", func="math.gcd", args="1, 2")
    second = Schedule.objects.create(name="daily", func="math.gcd", args="3, 6")
    assert Schedule.objects.filter(name="daily").count() == 2
    first.name = "weekly"
    first.save()
    first.name = "daily"
    first.save()
    assert {first.pk, second.pk} == set(
        Schedule.objects.filter(name="daily").values_list("pk", flat=True)
    )
    with pytest.raises(IntegrityError, match="'daily'"):
        schedule("math.gcd", 1, 2, name="daily")


def test_minutes_are_one_and_a_bad_schedule_is_refused() -> None:
    assert schedule("math.gcd", 1, 2, schedule_type=Schedule.MINUTES).minutes == 1
    assert Schedule(func="math.gcd").next_run is not None
    with pytest.raises(ValidationError):
        schedule("math.gcd", 1, 2, schedule_type=Schedule.CRON, cron="not a cron")


def test_tasks_can_be_made_by_hand() -> None:
    task = Task.objects.create(
        id="ef" * 16, name="made", func="f", args=(1, Parcel(2)), result={"a": [1]}
    )
    found = Task.objects.get(pk=task.pk)
    assert found.args[1].weight == 2
    assert (found.result, found.success) == ({"a": [1]}, True)
    assert found.time_taken() == 0
    failed = Task.objects.create(id="fe" * 16, name="f", func="f", success=False)
    failed.result = "it broke"
    failed.save()
    assert Task.get_result("f") == "it broke"
    assert Task.get_group_count("none") == 0


def test_the_parts_of_a_cluster_run_inline() -> None:
    task_id = async_task("math.gcd", 4, 6, hook="chores.old_project.note")
    broker, tasks, results = get_broker(), Line(), Line()
    pusher(tasks, Flag(), broker=broker)
    assert (len(tasks), broker.lock_size()) == (1, 1)
    tasks.put("STOP")
    worker(tasks, results)
    results.put("STOP")
    monitor(results)
    assert result(task_id) == 2
    assert NOTED.pop() == task_id
    assert queue_size() == 0
    assert OrmQ.objects.count() == 0


def dictionary(**fields: object) -> dict[str, object]:
    """Return a task as a test of a project makes it by hand."""
    now = timezone.now()
    task = {"id": "a" * 32, "name": "by hand", "func": "math.copysign", "args": (1, -1)}
    ends = {"started": now, "stopped": now, "success": False, "result": None}
    return task | {"kwargs": {}} | ends | fields


def test_a_result_can_be_stored_by_hand() -> None:
    """Each call is an attempt, and the first success stays."""
    for count in (1, 2):
        save_task(dictionary(), get_broker())
        found = Task.objects.get(id="a" * 32)
        assert (found.success, found.attempt_count) == (False, count)
    save_task(dictionary(success=True, result="done"))
    save_task(dictionary(result="late"))
    found = Task.objects.get(id="a" * 32)
    assert (found.success, found.result, found.name) == (True, "done", "by hand")


def test_one_of_the_cache_goes_there() -> None:
    save_cached(dictionary(success=True, result=7, cached=60))
    assert result_cached("a" * 32) == 7
    assert not Task.objects.filter(id="a" * 32).exists()


def test_a_look_at_the_clusters_returns_them(capsys) -> None:
    assert watch(run_once=True) == []


def test_the_broker_speaks_text() -> None:
    broker = get_broker()
    assert isinstance(broker, Broker)
    broker.enqueue("hello")
    ((ack_id, text),) = broker.dequeue()
    assert text == "hello"
    broker.acknowledge(ack_id)
    assert broker.queue_size() == 0
    assert broker.ping()
    async_task("math.gcd", 1, 2)
    ((ack_id, text),) = broker.dequeue()
    assert SignedPackage.loads(text)["args"] == (1, 2)
    broker.fail(ack_id)


def test_signed_packages_are_those_of_django_q() -> None:
    text = SignedPackage.dumps({"some": (1, 2)}, compressed=True)
    assert SignedPackage.loads(text) == {"some": (1, 2)}
    with pytest.raises(BadSignature):
        SignedPackage.loads(text[:-1] + ("a" if text[-1] != "a" else "b"))


def test_a_queue_knows_its_size() -> None:
    queue = Queue()
    queue.put(1)
    assert queue.qsize() == 1
    assert queue.get() == 1
    assert queue.empty()
    queue.close()
    queue.join_thread()


def test_a_lock_of_a_queued_task_can_be_asked_for_and_set() -> None:
    async_task("math.gcd", 1, 2)
    row = OrmQ.objects.get(lock=None)
    until = dt.datetime(2031, 1, 1, tzinfo=dt.UTC)
    row.lock = until
    row.save()
    assert OrmQ.objects.get(lock__gt=dt.datetime.now(dt.UTC)).lock == until
    assert OrmQ.objects.filter(lock__isnull=True).count() == 0
    assert get_broker().queue_size() == 0
