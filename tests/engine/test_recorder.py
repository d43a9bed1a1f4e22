"""The recorder: stores, then acknowledges, whatever fails on the way."""

from __future__ import annotations

import contextlib
import threading
import time
from functools import partial
from types import SimpleNamespace

import msgspec
import pytest
from chores.ledger import wait_for
from support.fake_services import Broken, FakeServices, begun

from qcore.engine.dispatcher import batches, deliveries, postponed, recorder
from qcore.engine.dispatcher.job import Job
from qcore.engine.dispatcher.lifecycle import WITH_THE_RECORDER
from qcore.engine.dispatcher.outages import Outage
from qcore.engine.dispatcher.recorder import Recorder
from qcore.engine.dispatcher.steps import LOOKS
from qcore.envelope import Attempt, Delivery, Options, Outcome, new_id
from qcore.errors import (
    BrokerError,
    BrokerUnavailable,
    StoreBusy,
    StoreError,
    StoreRefused,
    StoreUnavailable,
)
from qcore.results.memory import MemoryStore

F, C = Outcome.FAILURE, Outcome.CRASH


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Try again at once."""
    for module in (deliveries, postponed):
        monkeypatch.setattr(module, "Outage", partial(Outage, first=0.001))


class Desk:
    """A recorder with what it gives back to the loop."""

    def __init__(self, name, **settings):
        self.fakes = FakeServices(f"recorder {name}", **settings)
        self.followed = self.fakes.ready.jobs
        self.recorder = self.another()

    def another(self):
        """Return a new recorder of the same cluster."""
        return Recorder(self.fakes.services, self.fakes.shared, self.fakes.ready)

    def run(self):
        """Record what has been handed over."""
        self.recorder.close()
        thread = threading.Thread(target=self.recorder.run)
        thread.start()
        thread.join(60)
        assert not thread.is_alive()

    def stored(self, job):
        return self.fakes.store.fetch(job.task.id)

    @property
    def counts(self):
        shared = self.fakes.shared
        return shared.succeeded, shared.failed, shared.crashed


@pytest.fixture
def desk(request):
    return Desk(request.node.name)


def linger(desk, monkeypatch, job, meanwhile):
    """Record a job; return whether the recorder waited, when ``meanwhile`` is called."""
    waited = []

    def sleep(seconds):
        waited.append(seconds)
        meanwhile()

    clock = SimpleNamespace(sleep=sleep, monotonic=time.monotonic)
    monkeypatch.setattr(batches, "time", clock)
    desk.recorder.record(job)
    thread = threading.Thread(target=desk.recorder.run)
    thread.start()
    wait_for(lambda: desk.counts != (0, 0, 0))
    desk.recorder.close()
    thread.join(60)
    assert not thread.is_alive()
    return bool(waited)


def test_results_that_follow_one_another_are_stored_together(desk, monkeypatch):
    first, second = desk.fakes.ended(), desk.fakes.ended()
    desk.recorder._waiting._ended_at = time.monotonic() + 60  # lately
    assert linger(desk, monkeypatch, first, lambda: desk.recorder.record(second))
    assert desk.fakes.calls == ["save", "acknowledge"]
    assert desk.counts == (2, 0, 0)


def test_a_result_that_nothing_follows_does_not_wait(desk, monkeypatch):
    desk.recorder._waiting._ended_at = time.monotonic() + 60  # lately
    assert not linger(desk, monkeypatch, desk.fakes.ended(), lambda: None)


def test_the_first_result_after_a_pause_does_not_wait(desk, monkeypatch):
    job, _running = desk.fakes.ended(), desk.fakes.claim()
    desk.recorder._waiting._ended_at = time.monotonic() - 1
    assert not linger(desk, monkeypatch, job, lambda: None)


def test_what_is_followed_up_does_not_wait(desk, monkeypatch):
    job, _running = desk.fakes.ended(hook="shop.tasks.done"), desk.fakes.claim()
    desk.recorder._waiting._ended_at = time.monotonic() + 60  # lately
    assert not linger(desk, monkeypatch, job, lambda: None)
    assert desk.followed == [job]


def test_stored_then_acknowledged_in_one_batch(desk):
    jobs = [desk.fakes.ended() for _ in range(3)]
    for job in jobs:
        desk.recorder.record(job)
    desk.run()
    assert desk.fakes.calls == ["save", "acknowledge"]
    assert all(desk.stored(job).result == 7 for job in jobs)
    assert (desk.fakes.waiting, desk.fakes.claimed) == (0, 0)
    assert desk.fakes.shared.held == set()
    assert desk.counts == (3, 0, 0)
    ((hook, given),) = desk.fakes.notified
    assert hook == "qcore_results_recorded"
    assert [r.task.id for r in given["results"]] == [job.task.id for job in jobs]


@pytest.mark.fault("E1")
def test_a_recorder_that_ends_leaves_nothing_to_be_pruned(desk, monkeypatch):
    """What it may prune, no other cluster may for two leases."""
    job, left = desk.fakes.ended(), []
    store = type(desk.fakes.store)
    monkeypatch.setattr(store, "is_untidy", True)
    monkeypatch.setattr(
        store, "tidy", lambda _: left.append(len(desk.fakes.shared.held))
    )
    desk.recorder.record(job)
    desk.run()
    assert left == [0]


def test_a_store_that_is_down_is_waited_for(desk):
    job = desk.fakes.ended()
    desk.fakes.failures["save"] = [Broken("down")] * 3
    desk.recorder.record(job)
    desk.run()
    assert desk.fakes.calls == ["save"] * 4 + ["acknowledge"]
    assert desk.stored(job).success
    assert desk.fakes.shared.problems == {}


def test_an_acknowledgement_that_fails_is_tried_again(desk):
    """Storing is tried again with it, which changes nothing."""
    job = desk.fakes.ended()
    desk.fakes.failures["acknowledge"] = [BrokerUnavailable("away")]
    desk.recorder.record(job)
    desk.run()
    assert desk.fakes.calls == ["save", "acknowledge"] * 2
    assert desk.counts == (1, 0, 0)
    assert desk.fakes.claimed == 0


def test_a_failure_keeps_its_delivery_until_the_lease_ends(desk):
    job = desk.fakes.ended(F, b"ValueError: no")
    desk.recorder.record(job)
    desk.run()
    assert desk.fakes.calls == ["save"]
    assert not desk.stored(job).success
    assert desk.fakes.claimed == 1
    assert desk.fakes.shared.held == set(), "its lease is not renewed"


def test_a_crash_is_given_back_at_once_until_the_cap(request):
    desk = Desk(request.node.name, max_crashes=2)
    task = desk.fakes.send()
    for crashes in (1, 2):
        (delivery,) = desk.fakes.broker.dequeue(1)
        job = begun(Job(task, delivery))
        job.ended = Attempt(C, b"WorkerDied: no", "text", float(crashes), 9.0)
        desk.recorder = desk.another()
        desk.recorder.record(job)
        desk.run()
        assert desk.fakes.store.crashes([task.id]) == {task.id: crashes}
        assert desk.fakes.waiting == 2 - crashes
    assert desk.fakes.claimed == 0, "given up"
    assert desk.counts == (0, 2, 2)


def test_what_goes_back_may_come_again_at_once(desk, monkeypatch):
    """To this cluster, too: that delivery is no copy of one that it holds."""
    job, release = desk.fakes.ended(), desk.fakes.broker.release
    held = []

    def release_and_look(receipts, delay=0):
        release(receipts)
        held.extend(job for job in desk.fakes.shared.held if not job.lost)

    monkeypatch.setattr(desk.fakes.broker, "release", release_and_look)
    desk.recorder.give_back(job)
    desk.run()
    assert desk.fakes.waiting == 1
    assert held == []


# -- what cannot be stored ------------------------------------------------------------
def test_one_bad_result_does_not_hold_up_the_batch(desk):
    good, bad, other = (
        desk.fakes.ended(),
        desk.fakes.ended(value=b"unstorable"),
        desk.fakes.ended(),
    )
    for job in (good, bad, other):
        desk.recorder.record(job)
    desk.run()
    assert desk.stored(good).success
    assert desk.stored(other).success
    assert "the result cannot be stored" in desk.stored(bad).result
    # the task has done its work: it is not run again
    assert (desk.fakes.waiting, desk.fakes.claimed) == (0, 0)


def test_what_cannot_be_stored_at_all_is_left(desk, caplog):
    """Not even the note that stands in for it: no endless loop, no lost delivery."""
    job, good = desk.fakes.ended(name="unstorable"), desk.fakes.ended()
    desk.recorder.record(job)
    desk.recorder.record(good)
    desk.run()
    assert desk.stored(job) is None
    assert desk.fakes.claimed == 1
    assert desk.fakes.shared.held == set()
    assert "can be stored; its delivery is left" in caplog.text
    assert desk.stored(good).success


@pytest.mark.fault("E18")
@pytest.mark.parametrize("value", [b"unstorable", b"refused", b"unclear", b"cutting"])
def test_a_culprit_among_many_is_found_by_halving(desk, value):
    """Whatever kind of error the store has for it; all others are stored in order."""
    jobs = [desk.fakes.ended() for _ in range(200)]
    jobs[66].ended = Attempt(Outcome.SUCCESS, value, "json", 1.0, 2.0)
    for job in jobs:
        desk.recorder.record(job)
    desk.run()
    stored = [desk.stored(job) for job in jobs]
    assert [record.success for record in stored] == [n != 66 for n in range(200)]
    assert "the result cannot be stored" in stored[66].result
    assert (desk.fakes.waiting, desk.fakes.claimed) == (0, 0)
    # 200, 100, 50, 25 ... 1, and the other half of each: far fewer than one by one
    assert len(desk.fakes.store.sizes) < 30
    assert desk.counts == (199, 1, 0)
    assert desk.fakes.shared.problems == {}


@pytest.mark.fault("E18")
def test_what_waits_behind_a_culprit_is_stored_too(desk):
    bad, good = desk.fakes.ended(value=b"refused"), desk.fakes.ended()
    desk.recorder.record(bad)
    desk.recorder.record(good)
    desk.recorder.close()
    desk.recorder.run()
    assert desk.stored(good).success
    assert not desk.stored(bad).success
    assert desk.stored(bad).outcome == Outcome.FAILURE


def test_a_failure_that_cannot_be_stored_is_tried_again_by_the_rules(desk):
    """Only its text is lost; that it failed is stored, and its delivery stays."""
    job = desk.fakes.ended(F, b"ValueError: refused")
    desk.recorder.record(job)
    desk.run()
    assert desk.stored(job).result == (
        "StoreError: the result cannot be stored. The log of the cluster says why."
    )
    assert desk.stored(job).outcome == F
    assert desk.fakes.claimed == 1


def test_names_that_are_refused_are_stored_without_what_is_special(desk):
    """In the last note, names are ASCII, numbers within limits and arguments gone."""
    odd = {"name": "n\u2603", "func": "a.\u2603", "created": float("nan"), "links": 3}
    job = desk.fakes.ended(body=b"[[1],{}]", iter_index=2**40, **odd)
    job.next_package = b"the next link"
    desk.recorder.record(job)
    desk.run()
    record = desk.stored(job)
    assert (record.name, record.func) == ("n\\u2603", "a.\\u2603")
    assert "cannot be stored" in record.result
    with pytest.raises(StoreError, match="lost"):
        _ = record.args
    assert "enqueue" not in desk.fakes.calls, "its chain ends at a failure"
    assert desk.fakes.claimed == 0


@pytest.mark.fault("E1")
@pytest.mark.parametrize("error", [StoreUnavailable("away"), StoreError("what?")])
def test_a_store_that_takes_nothing_is_waited_for(desk, error):
    """Its ping fails as well, so the result is not to blame, and nothing replaces it."""
    jobs = [desk.fakes.ended() for _ in range(8)]
    desk.fakes.cached = None  # nobody asks the cache, which may be there
    desk.fakes.failures["save"] = [error] * 20
    desk.fakes.failures["ping"] = [StoreError("still away")] * 20
    for job in jobs:
        desk.recorder.record(job)
    desk.run()
    assert [desk.stored(job).result for job in jobs] == [7] * 8
    assert set(desk.fakes.store.sizes) == {8}, "it is not halved"


def test_a_store_that_came_back_just_now_blames_nobody(desk):
    """It failed, and answers when it is asked: the same is tried once more."""
    job = desk.fakes.ended()
    desk.fakes.failures["save"] = [StoreError("server has gone away")]
    desk.recorder.record(job)
    desk.run()
    assert desk.stored(job).result == 7
    assert desk.fakes.calls == ["save", "ping", "save", "acknowledge"]


@pytest.mark.fault("E18")
def test_a_part_of_a_store_that_is_away_blames_nobody(desk, monkeypatch):
    """The store answers, and what it says of one task is that it is away: so it is."""
    away = desk.fakes.ended(value=b"9")
    jobs = [desk.fakes.ended(), away, desk.fakes.ended()]
    save, tried = desk.fakes.store.save, []

    def save_elsewhere(results):
        if away.task.id in {result.task.id for result in results}:
            tried.append(len(results))
            if len(tried) < 30:
                raise StoreUnavailable("one of its servers is away")
        save(results)

    monkeypatch.setattr(desk.fakes.store, "save", save_elsewhere)
    for job in jobs:
        desk.recorder.record(job)
    desk.run()
    assert [desk.stored(job).result for job in jobs] == [7, 9, 7]
    assert desk.fakes.claimed == 0


@pytest.mark.fault("E18")
def test_a_cached_result_that_cuts_its_connection_is_found(request):
    """Others of the cache are stored, and of the database, too."""
    desk = Desk(request.node.name)
    cached = {"options": Options(cached=True)}
    jobs = [desk.fakes.ended(**(cached if n % 2 else {})) for n in range(20)]
    jobs[7].ended = Attempt(Outcome.SUCCESS, b"cutting", "json", 1.0, 2.0)
    for job in jobs:
        desk.recorder.record(job)
    thread = threading.Thread(target=desk.recorder.run)
    thread.start()
    wait_for(lambda: desk.fakes.claimed == 0)
    desk.recorder.close()
    thread.join(60)
    assert [desk.stored(job).success for job in jobs] == [n != 7 for n in range(20)]
    assert "the result cannot be stored" in desk.stored(jobs[7]).result


def test_the_log_has_no_more_than_one_line_of_what_the_store_says(desk, monkeypatch):
    """PostgreSQL adds the row that it refuses, in a line of its own."""
    job = desk.fakes.ended()
    row = "null value\nDETAIL:  Failing row contains (canary)"
    desk.fakes.failures["save"] = [StoreRefused(row)]
    desk.recorder.record(job)
    desk.run()
    assert "null value" in desk.stored(job).result
    assert "canary" not in desk.stored(job).result


def test_an_observer_that_leaves_does_not_end_the_recorder(desk, monkeypatch):
    def leave(_hook, **_):
        raise SystemExit(3)

    desk.recorder._services = msgspec.structs.replace(desk.fakes.services, notify=leave)
    jobs = [desk.fakes.ended(), desk.fakes.ended()]
    for job in jobs:
        desk.recorder.record(job)
    desk.run()
    assert all(desk.stored(job).success for job in jobs)


def test_acknowledgements_that_are_refused_hold_up_no_result(desk, caplog):
    jobs = [desk.fakes.ended() for _ in range(3)]
    desk.fakes.failures["acknowledge"] = [BrokerError("one of them is unknown")]
    for job in jobs:
        desk.recorder.record(job)
    desk.run()
    assert all(desk.stored(job).success for job in jobs)
    assert desk.fakes.calls == ["save", "acknowledge", "save", *["acknowledge"] * 3]
    assert desk.fakes.claimed == 0


@pytest.mark.fault("A17")
@pytest.mark.parametrize("one_database", [False, True])
@pytest.mark.parametrize("error", [TypeError("a bug"), ValueError("a NUL")])
def test_what_a_broker_raises_is_not_taken_for_the_stores(
    desk, monkeypatch, one_database, error
):
    """An acknowledgement in the transaction of the results is the broker's all the same."""
    if one_database:
        monkeypatch.setattr(desk.fakes.store, "joined", in_one_transaction(desk.fakes))
    jobs = [desk.fakes.ended() for _ in range(3)]
    desk.fakes.failures["acknowledge"] = [error] * 99
    for job in jobs:
        desk.recorder.record(job)
    desk.run()
    assert [desk.stored(job).result for job in jobs] == [7, 7, 7]
    assert desk.counts == (3, 0, 0)
    assert desk.fakes.shared.held == set(), "their leases end, and they are recognised"


def in_one_transaction(fakes):
    """Return a ``joined`` whose errors are told as the ORM store tells them."""

    @contextlib.contextmanager
    def joined(broker):
        before = dict(fakes.store._rows)
        try:
            yield
        except (TypeError, ValueError) as error:
            fakes.store._rows.clear()
            fakes.store._rows.update(before)
            raise StoreRefused("cannot store and acknowledge") from error

    return joined


@pytest.mark.fault("A17")
@pytest.mark.parametrize("error", [BrokerError("unknown"), TypeError("what is this?")])
@pytest.mark.parametrize("what", ["acknowledge", "release", "enqueue"])
def test_one_that_the_broker_refuses_holds_up_no_other(desk, monkeypatch, what, error):
    """Together they would come again, and be refused again, for ever."""
    fakes = desk.fakes
    jobs = [fakes.ended(links=what == "enqueue") for _ in range(5)]
    for job in jobs:
        job.result = job.ended.result(job.task, job.attempt)
        if what == "enqueue":
            job.next_package = fakes.signer.sign(fakes.task(link=1))
    bad = jobs[2]
    name = {"enqueue": "enqueue_many", "acknowledge": "acknowledge_many"}.get(
        what, what
    )
    real_call = getattr(fakes.broker, name)

    def refuse(items):
        if bad.receipt in items or bad.next_package in items:
            raise error
        return real_call(items)

    monkeypatch.setattr(fakes.broker, name, refuse)
    for job in jobs:
        (desk.recorder.give_back if what == "release" else desk.recorder.finish)(job)
    desk.run()
    assert fakes.claimed == 1, "it alone comes back when its lease ends"
    assert fakes.waiting == (0 if what == "acknowledge" else 4)
    assert fakes.shared.held == set()


@pytest.mark.fault("A17")
def test_a_broker_that_refuses_everything_is_not_asked_for_each(desk):
    jobs = [desk.fakes.ended() for _ in range(100)]
    desk.fakes.failures["acknowledge"] = [BrokerError("no permission")] * 999
    for job in jobs:
        job.result = job.ended.result(job.task, job.attempt)
        desk.recorder.finish(job)
    desk.run()
    assert len(desk.fakes.calls) == 4
    assert desk.fakes.shared.held == set()


@pytest.mark.fault("A17")
def test_a_recorder_whose_broker_cannot_be_made_tries_again(desk):
    tries = [TypeError("not now"), BrokerError("nor now")]

    def make():
        if tries:
            raise tries.pop()
        return desk.fakes.broker

    services = msgspec.structs.replace(desk.fakes.services, make_broker=make)
    desk.recorder = Recorder(services, desk.fakes.shared, desk.fakes.ready)
    job = desk.fakes.ended()
    desk.recorder.record(job)
    desk.run()
    assert desk.stored(job).success
    assert desk.fakes.claimed == 0


def test_a_cache_that_is_away_does_not_hold_up_the_database(request, monkeypatch):
    desk = Desk(request.node.name)
    cache = FakeServices(f"cache {request.node.name}").store
    away = [StoreUnavailable("the cache is away")] * 3

    def save(results):
        if away:
            raise away.pop()
        return type(cache).save(cache, results)

    order = []
    desk.fakes.cached = cache
    monkeypatch.setattr(cache, "save", save)
    desk.recorder._services = msgspec.structs.replace(
        desk.fakes.services,
        notify=lambda _, results: order.extend(r.task.id for r in results),
    )
    cached = desk.fakes.ended(options=Options(cached=True))
    plain = [desk.fakes.ended() for _ in range(2)]
    for job in (plain[0], cached, plain[1]):
        desk.recorder.record(job)
    thread = threading.Thread(target=desk.recorder.run)
    thread.start()
    wait_for(lambda: len(order) == 3)
    desk.recorder.close()
    thread.join(60)
    assert order == [job.task.id for job in (*plain, cached)]
    assert desk.fakes.claimed == 0


class Away:
    """A part of the store that fails until it is told to be there."""

    def __init__(self, name, error):
        self.store = FakeServices(f"{name} away").store
        self.error = error
        self.asked = []
        for call in ("save", "crashes", "collate", "ping"):
            setattr(self.store, call, partial(self._call, call))

    def _call(self, name, *args):
        self.asked.append(name)
        if self.error is not None:
            raise self.error
        return getattr(type(self.store), name)(self.store, *args)


@contextlib.contextmanager
def running(desk):
    """Let the recorder run while something is done, and end it."""
    thread = threading.Thread(target=desk.recorder.run)
    thread.start()
    try:
        yield
    finally:
        desk.recorder.close()
        thread.join(60)
    assert not thread.is_alive()


@pytest.fixture
def pauses_without_end(monkeypatch):
    """Nothing that waits for a store is tried again before the recorder is closed."""
    for module in (deliveries, postponed):
        monkeypatch.setattr(module, "Outage", partial(Outage, first=3600, longest=3600))


def a_failed_call(desk, **fields):
    return desk.fakes.ended(C, b"WorkerDied: no", **fields)


def an_iter(desk, **fields):
    return desk.fakes.ended(group=new_id(), iter_index=0, iter_count=1, **fields)


@pytest.mark.fault("E1")
@pytest.mark.usefixtures("pauses_without_end")
@pytest.mark.parametrize("away", ["cache", "database"])
@pytest.mark.parametrize("ended", [FakeServices.ended, a_failed_call, an_iter])
@pytest.mark.parametrize("error", [StoreUnavailable("away"), StoreError("what?")])
def test_a_store_that_is_away_delays_no_result_for_the_other(desk, away, ended, error):
    """Whatever it is asked for: to store, to count crashes, to join an iter."""
    part = Away(desk.fakes.queue, error)
    setattr(desk.fakes, "cached" if away == "cache" else "store", part.store)
    held = {"options": Options(cached=away == "cache")}
    other = {"options": Options(cached=away != "cache")}
    if ended is an_iter:  # its call is stored, and the list is not
        part.store.save = partial(MemoryStore.save, part.store)
    maker = desk.fakes if ended is FakeServices.ended else desk
    waiting = ended(maker, **held)
    desk.recorder.record(waiting)
    with running(desk):
        wait_for(lambda: part.asked and len(desk.recorder._postponed) == 1)
        following = [desk.fakes.ended(**other) for _ in range(3)]
        for job in following:
            desk.recorder.record(job)
            wait_for(lambda job=job: job not in desk.fakes.shared.held)
        assert waiting in desk.fakes.shared.held
        part.error = None
    assert desk.fakes.shared.held == set()
    task = waiting.task
    assert desk.fakes.store.fetch(task.group or task.id) is not None
    assert all(desk.stored(job).result == 7 for job in following)
    assert desk.fakes.shared.problems == {}


def test_a_database_that_is_away_is_not_asked_for_what_the_cache_keeps(desk):
    """Its transaction with the broker is for its own results only."""
    desk.fakes.cached = FakeServices(f"{desk.fakes.queue} cache").store

    @contextlib.contextmanager
    def joined(_broker):
        raise StoreUnavailable("no database")
        yield

    desk.fakes.store.joined = joined
    job = desk.fakes.ended(value=b"9", options=Options(cached=True))
    desk.recorder.record(job)
    desk.run()
    assert desk.stored(job).result == 9
    assert desk.fakes.claimed == 0


@pytest.mark.fault("E18")
@pytest.mark.parametrize("what", ["a result", "a list"])
def test_a_lock_is_never_a_refusal(desk, monkeypatch, what):
    """However often it is said, while the store takes all others, it passes."""
    locked = (
        an_iter(desk, value=b"9") if what == "a list" else desk.fakes.ended(value=b"9")
    )
    others = [desk.fakes.ended() for _ in range(9)]
    store, tries = desk.fakes.store, []

    def lock(call, its, *args):
        if its:
            tries.append(call)
            if len(tries) <= 20:
                raise StoreBusy("canceling statement due to lock timeout")
        return call(*args)

    save, collate = store.save, store.collate
    if what == "a result":
        id = locked.task.id
        store.save = lambda rs: lock(save, id in {r.task.id for r in rs}, rs)
    else:
        store.collate = lambda *args: lock(collate, True, *args)
    for job in (*others[:5], locked, *others[5:]):
        desk.recorder.record(job)
    with running(desk):
        wait_for(lambda: desk.fakes.claimed == 0)
    assert len(tries) > 20
    record = store.fetch(locked.task.group or locked.task.id)
    assert record.result == ([9] if what == "a list" else 9)
    assert all(desk.stored(job).result == 7 for job in others)
    assert desk.fakes.shared.problems == {}


@pytest.mark.fault("E20")
@pytest.mark.parametrize("what", ["a result", "a list"])
def test_a_connection_that_was_cut_says_nothing_of_a_value(desk, what):
    """It fails as one that the database cuts because of the value, however often."""
    waiting = (
        an_iter(desk, value=b"9") if what == "a list" else desk.fakes.ended(value=b"9")
    )
    others = [desk.fakes.ended() for _ in range(9)]
    store, tries, steps = desk.fakes.store, [], desk.fakes.shared.steps
    steps.may_be_cut("recorder", lambda: 1)

    def hang(call, its, *args):
        if its:
            tries.append(call)
            if len(tries) <= 20:
                for _ in range(LOOKS):
                    steps.look()
                raise StoreError("server closed the connection unexpectedly")
        return call(*args)

    save, collate = store.save, store.collate
    if what == "a result":
        id = waiting.task.id
        store.save = lambda rs: hang(save, id in {r.task.id for r in rs}, rs)
    else:
        store.collate = lambda *args: hang(collate, True, *args)
    for job in (*others[:5], waiting, *others[5:]):
        desk.recorder.record(job)
    with running(desk):
        wait_for(lambda: desk.fakes.claimed == 0)
    assert len(tries) > 20
    record = store.fetch(waiting.task.group or waiting.task.id)
    assert record.result == ([9] if what == "a list" else 9)
    assert all(desk.stored(job).result == 7 for job in others)


@pytest.mark.fault("E20")
@pytest.mark.usefixtures("pauses_without_end")
def test_a_store_that_is_away_holds_up_no_task_of_which_nothing_is_stored(desk):
    """A success without a result to store, and without anything else for a database."""
    part = Away(desk.fakes.queue, StoreUnavailable("away"))
    desk.fakes.cached = part.store
    cached, unsaved = Options(cached=True), Options(cached=True, save=False)
    desk.recorder.record(desk.fakes.ended(options=cached))
    with running(desk):
        wait_for(lambda: "save" in part.asked and len(desk.recorder._postponed) == 1)
        hooked = desk.fakes.ended(options=unsaved, hook="a.hook")
        waiting = [
            desk.fakes.ended(F, b"ValueError: no", options=unsaved),
            an_iter(desk, options=unsaved),
            desk.fakes.ended(options=Options(cached=True, save=False, track=True)),
        ]
        for job in (hooked, *waiting, desk.fakes.ended(options=unsaved)):
            desk.recorder.record(job)
        wait_for(lambda: desk.followed == [hooked] and desk.fakes.claimed == 5)
        assert len(desk.recorder._postponed) == 4
        assert part.asked.count("save") == 1, "nobody asks it in its pause"
        part.error = None


@pytest.mark.usefixtures("pauses_without_end")
def test_what_is_postponed_is_waiting_and_holds_up_claims(desk, monkeypatch):
    """Its results are in memory, so no more is claimed than there is room for."""
    monkeypatch.setattr(recorder, "MOST", 2)
    part = Away(desk.fakes.queue, StoreUnavailable("away"))
    desk.fakes.cached = part.store
    cached = {"options": Options(cached=True)}
    jobs = [desk.fakes.ended(**cached) for _ in range(3)]
    for job in jobs:
        desk.recorder.record(job)
    with running(desk):
        wait_for(lambda: "save" in part.asked and len(desk.recorder._postponed) == 3)
        assert desk.recorder.is_behind()
        wakes = desk.fakes.ready.wakes
        part.error = None
    assert desk.fakes.ready.wakes == wakes + 1
    assert not desk.recorder.is_behind()
    assert desk.fakes.claimed == 0


# -- follow-ups ------------------------------------------------------------------------
def test_a_hook_goes_back_to_the_loop_before_the_acknowledgement(desk):
    job = desk.fakes.ended(hook="a.hook")
    desk.recorder.record(job)
    desk.run()
    assert desk.followed == [job]
    assert desk.fakes.calls == ["save"]
    assert desk.fakes.shared.held == {job}


def test_the_next_link_is_sent_before_the_acknowledgement(desk):
    job = desk.fakes.ended(links=1)
    job.result = job.ended.result(job.task, job.attempt)
    job.next_package = desk.fakes.signer.sign(desk.fakes.task(link=1))
    desk.recorder.finish(job)
    desk.run()
    assert desk.fakes.calls == ["enqueue", "acknowledge"]
    assert desk.fakes.waiting == 1


@pytest.mark.parametrize("error", [BrokerError("refused"), BrokerUnavailable("away")])
def test_a_link_that_cannot_be_sent_leaves_its_predecessor(desk, error):
    """An acknowledged predecessor would be the end of the chain."""
    job, other = desk.fakes.ended(links=1), desk.fakes.ended()
    job.result = job.ended.result(job.task, job.attempt)
    other.result = other.ended.result(other.task, other.attempt)
    job.next_package = desk.fakes.signer.sign(desk.fakes.task(link=1))
    desk.fakes.failures["enqueue"] = [error]
    desk.fakes.shared.stopping.set()  # it is not tried for ever then
    desk.recorder.finish(job)
    desk.recorder.finish(other)
    desk.run()
    assert desk.fakes.claimed == 1, "it comes back, and its follow-up is done again"
    assert desk.fakes.shared.held == set()


def test_a_link_is_sent_when_the_broker_is_back(desk):
    job = desk.fakes.ended(links=1)
    job.result = job.ended.result(job.task, job.attempt)
    job.next_package = desk.fakes.signer.sign(desk.fakes.task(link=1))
    desk.fakes.failures["enqueue"] = [BrokerUnavailable("away")] * 3
    desk.recorder.finish(job)
    desk.run()
    assert desk.fakes.calls == ["enqueue"] * 4 + ["acknowledge"]


# -- iters -------------------------------------------------------------------------------
def test_an_iter_is_joined_before_its_last_delivery_goes(desk):
    group = new_id()
    for index in range(2):
        desk.recorder.record(
            desk.fakes.ended(group=group, iter_index=index, iter_count=2)
        )
    desk.run()
    assert desk.fakes.calls == ["save", "collate", "acknowledge"]
    assert desk.fakes.store.fetch(group).result == [7, 7]


def test_an_iter_that_is_not_joined_keeps_its_delivery(desk):
    """Its last call was stored by an attempt that got no further; it comes again."""
    job = desk.fakes.ended(group="i" * 32, iter_index=0, iter_count=1)
    desk.fakes.failures["collate"] = [Broken("down")]
    desk.recorder.finish(job)
    desk.run()
    assert desk.fakes.claimed == 1
    assert desk.fakes.shared.held == set()


@pytest.mark.fault("G22")
def test_an_iter_is_joined_when_no_call_of_it_will_run_again(desk):
    """A call has failed, and its delivery comes again: the list waits for that."""
    group = new_id()
    shared = {"group": group, "iter_count": 2}
    failed = desk.fakes.ended(F, b"ValueError: no", iter_index=0, **shared)
    other = desk.fakes.ended(iter_index=1, **shared)
    desk.recorder.record(failed)
    desk.recorder.record(other)
    desk.run()
    assert desk.fakes.store.fetch(group) is None
    assert desk.stored(failed).outcome == F, "until then, the failure can be seen"
    delivery = Delivery(failed.receipt, failed.delivery.package, 2, 1e9)
    again = begun(Job(failed.task, delivery))
    again.ended = Attempt(Outcome.SUCCESS, b"6", "json", 3.0, 4.0)
    desk.recorder = desk.another()
    desk.recorder.record(again)
    desk.run()
    joined = desk.fakes.store.fetch(group)
    assert (joined.success, joined.result) == (True, [6, 7])


@pytest.mark.parametrize(
    ("settings", "outcome"),
    [({"max_attempts": 1}, F), ({"ack_failures": True}, F), ({"max_crashes": 1}, C)],
)
def test_an_iter_is_joined_with_a_failure_that_is_final(request, settings, outcome):
    desk = Desk(request.node.name, **settings)
    group = new_id()
    job = desk.fakes.ended(outcome, b"no", group=group, iter_index=0, iter_count=1)
    desk.recorder.record(job)
    desk.run()
    assert desk.fakes.store.fetch(group).result == ["no"]
    assert desk.fakes.claimed == 0


@pytest.mark.fault("E18")
@pytest.mark.parametrize(
    ("error", "times"),
    [(StoreError("packet too large"), 2), (StoreUnavailable("packet cut"), 4)],
)
def test_a_list_that_cannot_be_stored_leaves_its_parts(desk, error, times):
    """Whoever waits for the iter is told why, and each call keeps its result."""
    group = new_id()
    jobs = [
        desk.fakes.ended(group=group, iter_index=index, iter_count=2)
        for index in range(2)
    ]
    desk.fakes.failures["collate"] = [error] * times
    for job in jobs:
        desk.recorder.record(job)
    desk.run()
    joined = desk.fakes.store.fetch(group)
    assert not joined.success
    assert "2 results cannot be stored as one list: Store" in joined.result
    store = desk.fakes.store
    assert [record.result for record in store.fetch_group(group, False)] == [7, 7]
    assert desk.fakes.claimed == 0


@pytest.mark.fault("E18")
@pytest.mark.parametrize("what", ["collate", "save"])
def test_a_store_that_comes_back_slowly_costs_no_value(desk, what):
    """Unclear errors between two outages are of the store, and not of one result."""
    group = new_id()
    job = desk.fakes.ended(group=group, iter_index=0, iter_count=1)
    away, unclear = StoreUnavailable("away"), StoreError("gone away")
    desk.fakes.failures[what] = [away, unclear, away, unclear, away]
    desk.recorder.record(job)
    desk.run()
    joined = desk.fakes.store.fetch(group)
    assert joined.success
    assert joined.result == [7]
    assert desk.fakes.claimed == 0


def test_an_iter_that_waits_for_its_store_is_left_at_a_stop(desk):
    job = desk.fakes.ended(group="i" * 32, iter_index=0, iter_count=1)
    desk.fakes.failures["collate"] = [StoreUnavailable("down")] * 99
    desk.fakes.shared.stopping.set()
    desk.recorder.record(job)
    desk.run()
    assert desk.fakes.claimed == 1
    assert desk.stored(job).success, "it comes again and is recognised"


# -- giving back -------------------------------------------------------------------------
def test_giving_back(desk):
    job = desk.fakes.running()
    desk.recorder.give_back(job)
    desk.run()
    assert desk.fakes.waiting == 1
    assert desk.fakes.shared.held == set()


def test_a_stop_does_not_wait_for_a_broker_that_is_away(desk):
    job = desk.fakes.running()
    desk.fakes.failures["release"] = [BrokerUnavailable("away")] * 9
    desk.fakes.shared.stopping.set()
    desk.recorder.give_back(job)
    desk.run()
    assert desk.fakes.calls == ["release"]
    assert desk.fakes.claimed == 1, "the lease brings it back"


def test_backlog(desk):
    shared = desk.fakes.shared
    desk.recorder.give_back(desk.fakes.waiting_job())
    assert shared.count(*WITH_THE_RECORDER) == len(desk.recorder._waiting) == 1
    desk.run()
    assert shared.count(*WITH_THE_RECORDER) == len(desk.recorder._waiting) == 0


def test_who_waits_for_the_backlog_is_told_when_it_is_gone(desk, monkeypatch):
    monkeypatch.setattr(recorder, "MOST", 2)
    for _ in range(2):
        desk.recorder.record(desk.fakes.ended())
    assert not desk.recorder.is_behind()
    desk.recorder.record(desk.fakes.ended())
    assert desk.recorder.is_behind()
    desk.run()
    assert desk.fakes.ready.wakes == 1
    assert not desk.recorder.is_behind()
