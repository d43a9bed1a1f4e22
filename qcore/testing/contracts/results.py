"""The contract of a result store, as tests that a plugin inherits.

Write one fixture::

    class TestMongoStore(ResultStoreContract):
        @pytest.fixture
        def store(self, server):  # empty, and for this test alone
            return MongoStore(Conf.from_dict({"mongo": server.options}))

Every test asks for one promise, which is its name.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import math
from collections.abc import Callable
from typing import ClassVar

import msgspec
import pytest

from ...envelope import Options, Outcome, Result, new_id
from ...errors import StoreError
from ...results.base import Record, ResultStore
from ..outages import Outage
from .forking import in_child
from .samples import MakeResult, elements, result_maker


def _odd(make: MakeResult, **fields: object) -> Result:
    return msgspec.structs.replace(make("odd"), **fields)


#: Results that this or that store cannot take. A store may take them, too.
AWKWARD: dict[str, Callable[[MakeResult], Result]] = {
    "a large value": lambda make: make("x" * 3_000_000),
    "many attempts": lambda make: _odd(make, attempt=2**70),
    "no time": lambda make: _odd(make, started=math.nan),
    "the end of time": lambda make: _odd(make, stopped=1e300),
    "a lone surrogate": lambda make: make("odd", name="\ud800"),
    "a place beyond all": lambda make: make("odd", group="g", iter_index=2**70),
    "cached for ever and ever": lambda make: make(
        "odd", options=Options(cached=math.inf)
    ),
}


class ResultStoreContract:
    """Everything that qcore relies on a result store for."""

    #: Whether other processes can reach the service of these tests; True asks for forks.
    crosses_processes: ClassVar[bool] = False

    @pytest.fixture
    def store(self) -> ResultStore:
        """Return a store that holds nothing, and keeps whatever it is given."""
        raise NotImplementedError(
            f"{type(self).__name__} must define the fixture store;"
            " see qcore.testing.contracts.results"
        )

    @pytest.fixture
    def outage(self) -> Outage | None:
        """Return a callable whose context takes the service away; None skips its test."""
        return None

    def after_fork(self) -> None:
        """Drop inherited connections; runs in a forked child before it uses the store."""

    @pytest.fixture
    def make(self) -> MakeResult:
        """Make results, each one a second after the one before."""
        return result_maker()

    def get(self, store: ResultStore, key: str) -> Record:
        """Return a record that must be there."""
        record = store.fetch(key)
        assert record is not None, f"nothing is stored under {key!r}"
        return record

    # -- saving ------------------------------------------------------------------
    def test_a_result_comes_back_with_its_call(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        result = make({"sum": 3}, args=[1, 2], group="sums", hook="shop.tasks.done")
        store.save([result])
        record = self.get(store, result.task.id)
        assert record.id == result.task.id
        assert record.name == result.task.name
        assert record.func == "shop.tasks.add"
        assert record.hook == "shop.tasks.done"
        assert record.group == "sums"
        assert record.cluster == "tests"
        assert record.args == (1, 2)
        assert record.kwargs == {}
        assert record.result == {"sum": 3}
        assert record.success is True
        assert record.outcome == Outcome.SUCCESS
        assert record.attempt_count == 1

    def test_an_empty_batch_is_stored_without_complaint(
        self, store: ResultStore
    ) -> None:
        store.save([])

    def test_what_is_not_there_is_none(self, store: ResultStore) -> None:
        assert store.fetch(new_id()) is None
        assert store.fetch("") is None
        assert store.fetch_group("none", failures=True) == []
        assert store.count_group("none", failures=False) == 0
        assert store.delete(new_id()) is False
        assert store.delete_group("none", tasks=True) == 0
        assert set(store.finished([])) == set()
        assert store.crashes([]) == {}

    def test_a_falsy_result_is_a_result(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        result = make(None)
        store.save([result])
        record = self.get(store, result.task.id)
        assert record.result is None

    def test_the_first_success_is_never_changed(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        first = make("first")
        store.save([first])
        later = make("second", id=first.task.id, attempt=2)
        worse = make(id=first.task.id, attempt=3, outcome=Outcome.FAILURE)
        store.save([later])
        store.save([worse])
        record = self.get(store, first.task.id)
        assert (record.result, record.attempt_count) == ("first", 1)
        assert record.success is True

    def test_a_later_attempt_replaces_a_failure(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        first = make(outcome=Outcome.FAILURE, error="first")
        store.save([first])
        store.save(
            [make(id=first.task.id, attempt=2, outcome="timeout", error="second")]
        )
        record = self.get(store, first.task.id)
        assert (record.result, record.outcome, record.attempt_count) == (
            "second",
            Outcome.TIMEOUT,
            2,
        )
        assert set(store.finished([first.task.id])) == set()
        store.save([make("well", id=first.task.id, attempt=3)])
        record = self.get(store, first.task.id)
        assert (record.result, record.success, record.attempt_count) == (
            "well",
            True,
            3,
        )
        assert set(store.finished([first.task.id, new_id()])) == {first.task.id}

    def test_an_earlier_attempt_that_comes_late_changes_a_failure_only_by_success(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        # its dispatcher stood still while another one ran the task again
        late = make(outcome=Outcome.CRASH, error="late")
        task_id = late.task.id
        later = make(id=task_id, attempt=2, outcome=Outcome.FAILURE, error="later")
        store.save([later])
        store.save([late])
        record = self.get(store, task_id)
        assert (record.result, record.attempt_count) == ("later", 2)
        assert record.outcome == Outcome.FAILURE
        store.save([make("well", id=task_id)])
        record = self.get(store, task_id)
        assert (record.result, record.attempt_count) == ("well", 1)
        assert record.success is True

    def test_one_batch_may_hold_a_task_twice(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        failure = make(outcome=Outcome.CRASH)
        success = make("well", id=failure.task.id, attempt=2)
        failed_again = make(id=failure.task.id, attempt=3, outcome=Outcome.FAILURE)
        store.save([failure, success, failed_again])
        assert self.get(store, failure.task.id).result == "well"
        assert store.crashes([failure.task.id]) == {failure.task.id: 1}

    def test_crashes_add_up_and_failures_do_not(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        first = make(outcome=Outcome.CRASH)
        task_id = first.task.id
        store.save([first])
        store.save([make(id=task_id, attempt=2, outcome=Outcome.FAILURE)])
        store.save([make(id=task_id, attempt=3, outcome=Outcome.CRASH)])
        other = new_id()
        assert store.crashes([task_id, other]) == {task_id: 2, other: 0}

    def test_storing_the_same_attempt_twice_counts_its_crash_once(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        # as after a commit whose answer was lost
        crash = make(outcome=Outcome.CRASH)
        store.save([crash])
        store.save([crash])
        assert store.crashes([crash.task.id]) == {crash.task.id: 1}

    def test_a_name_finds_the_newest(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        store.save([make("old", name="nightly")])
        store.save([make("new", name="nightly")])
        assert self.get(store, "nightly").result == "new"

    def test_a_group_is_read_oldest_first(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        results = [make(n, group="g") for n in range(3)]
        failure = make(group="g", outcome=Outcome.FAILURE, error="broken")
        store.save([failure, *reversed(results)])
        store.save([make("other", group="h")])
        assert [r.result for r in store.fetch_group("g", failures=False)] == [0, 1, 2]
        assert [r.result for r in store.fetch_group("g", failures=True)] == [
            0,
            1,
            2,
            "broken",
        ]
        assert store.count_group("g", failures=False) == 4
        assert store.count_group("g", failures=True) == 1

    def test_a_task_that_is_stored_again_is_in_its_group_once(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        first = make(group="g", outcome=Outcome.FAILURE)
        store.save([first])
        store.save([make("well", id=first.task.id, group="g", attempt=2)])
        assert store.count_group("g", failures=False) == 1
        assert store.count_group("g", failures=True) == 0

    def test_deleting_one_result(self, store: ResultStore, make: MakeResult) -> None:
        by_id, by_name = make(1), make(2, name="nightly")
        store.save([by_id, by_name])
        assert store.delete(by_id.task.id) is True
        assert store.delete("nightly") is True
        assert store.fetch(by_id.task.id) is None
        assert store.fetch(by_name.task.id) is None

    @pytest.mark.parametrize("tasks", [True, False])
    def test_deleting_a_group_or_only_its_label(
        self, store: ResultStore, make: MakeResult, tasks: bool
    ) -> None:
        results = [make(n, group="g") for n in range(3)]
        store.save(results)
        assert store.delete_group("g", tasks=tasks) == 3
        assert store.fetch_group("g", failures=True) == []
        assert (store.fetch(results[0].task.id) is None) is tasks

    def test_a_long_name_is_clipped_and_still_found(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        names = [f"{'n' * 150}{n}" for n in range(2)]
        store.save([make(n, name=names[n], group="g" * 200) for n in range(2)])
        assert self.get(store, names[0]).result == 0
        assert self.get(store, names[1]).result == 1
        assert len(self.get(store, names[0]).name) == 100
        assert store.count_group("g" * 200, failures=False) == 2

    def test_text_that_databases_refuse_is_stored_all_the_same(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        nul = make(
            outcome=Outcome.FAILURE, error="nul \0 here", name="na\0me", group="\0"
        )
        bad = make(outcome=Outcome.FAILURE)
        bad = msgspec.structs.replace(bad, value=b"not \xff UTF-8")
        store.save([nul, bad])
        assert self.get(store, nul.task.id).result == "nul \ufffd here"
        assert self.get(store, bad.task.id).result == "not \ufffd UTF-8"
        assert store.count_group("\0", failures=False) == 1

    def test_emoji_and_quotes_survive(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        text = '🎉 O\'Brien "quoted" \\ % %s \u2028'
        result = make(text, args=[text], name=text)
        store.save([result])
        record = self.get(store, result.task.id)
        assert (record.result, record.args, record.name) == (text, (text,), text)

    def test_a_nul_in_a_value_is_kept(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        result = make({"k": "a\0b"}, args=["\0"])
        store.save([result])
        record = self.get(store, result.task.id)
        assert (record.result, record.args) == ({"k": "a\0b"}, ("\0",))

    # -- what cannot be stored -----------------------------------------------------

    @pytest.mark.parametrize("what", AWKWARD)
    def test_what_cannot_be_stored_is_refused_and_stops_nothing(
        self, store: ResultStore, make: MakeResult, what: str
    ) -> None:
        # no error but StoreError tells that it is of the store
        with contextlib.suppress(StoreError):
            store.save([AWKWARD[what](make)])
        after = make("after")
        store.save([after])
        assert self.get(store, after.task.id).result == "after"

    @pytest.mark.parametrize("what", AWKWARD)
    def test_a_batch_is_stored_whole_or_not_at_all(
        self, store: ResultStore, make: MakeResult, what: str
    ) -> None:
        others = [make(n) for n in range(4)]
        bad = AWKWARD[what](make)
        try:
            store.save([*others[:2], bad, *others[2:]])
        except StoreError:
            found = [store.fetch(one.task.id) for one in others]
            assert found == [None] * 4
        else:
            for one in others:
                self.get(store, one.task.id)

    def test_ping_answers_and_leaves_nothing(self, store: ResultStore) -> None:
        store.ping()
        store.ping()
        assert store.fetch("qcore.probe") is None

    # -- connections ---------------------------------------------------------------
    def test_a_store_works_again_after_an_outage(
        self, store: ResultStore, make: MakeResult, outage: Outage | None
    ) -> None:
        if outage is None:
            pytest.skip("what it is tested on is never away")
        before, meanwhile = make("before"), make("meanwhile")
        store.save([before])
        with outage():
            for _ in range(2):
                with pytest.raises(StoreError):
                    store.save([meanwhile])
                with pytest.raises(StoreError):
                    store.fetch(before.task.id)
                with pytest.raises(StoreError):
                    store.ping()
            store.close()  # that is no error where nothing is open
        store.save([meanwhile])
        assert self.get(store, meanwhile.task.id).result == "meanwhile"
        assert self.get(store, before.task.id).result == "before"

    def test_a_closed_store_works_on_both_sides_of_a_fork(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        if not self.crosses_processes:
            pytest.skip("what it is tested on belongs to one process")
        results = [make(number) for number in range(20)]
        last = make("last")
        store.save([make("first")])
        store.close()

        def work() -> None:
            self.after_fork()
            for one in results:
                store.save([one])
                self.get(store, one.task.id)
            store.close()

        assert in_child(work) == 0, "the child failed; see its traceback above"
        store.save([last])
        assert self.get(store, last.task.id).result == "last"
        store.close()

    # -- counts ------------------------------------------------------------------
    def test_what_is_stored_is_counted_or_counting_refused(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        if not store.supports_counts:
            with pytest.raises(StoreError):
                store.count()
            return
        assert (store.count().succeeded, store.count().failed) == (0, 0)
        failure = make(outcome=Outcome.FAILURE)
        results = [make(1), make(2, group="g"), failure]
        store.save(results)
        store.save([make(3, id=failure.task.id, attempt=2)])
        store.save(elements(make, new_id(), 3)[:2])  # they wait to be joined
        store.save([make(outcome=Outcome.CRASH)])
        found = store.count()
        assert (found.succeeded, found.failed) == (3, 1)
        store.delete(results[0].task.id)
        assert store.count().succeeded == 2

    def test_counting_begins_at_a_moment(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        if not store.supports_counts:
            pytest.skip("it cannot count")
        results = [make(1), make(2), make(outcome=Outcome.FAILURE)]
        store.save(results)
        # between two stops, which are a second apart
        since = dt.datetime.fromtimestamp(results[1].stopped - 0.5, dt.UTC)
        found = store.count(since)
        assert (found.succeeded, found.failed) == (1, 1)
        taken = sum(one.stopped - one.started for one in results[1:])
        assert found.seconds == pytest.approx(taken, abs=0.01)
        later = dt.datetime.fromtimestamp(results[2].stopped + 60, dt.UTC)
        assert store.count(later).total == 0
        assert store.count(later).average is None

    def test_quarantine_is_counted_where_it_is_kept(self, store: ResultStore) -> None:
        before = store.quarantined()
        store.quarantine("q", b"garbled", "BadSignature", "of a contract test")
        after = store.quarantined()
        assert (before, after) in ((None, None), (0, 1))

    # -- async_iter ------------------------------------------------------------

    def test_an_iter_is_joined_once_all_are_there(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        group = new_id()
        results = elements(make, group, 3)
        store.save(results[::2])
        assert store.collate(group, 3) is False
        assert store.fetch(group) is None
        store.save(results[1:2])
        assert store.collate(group, 3) is True
        joined = self.get(store, group)
        assert joined.result == [0, 10, 20]
        assert joined.args == ([0], [1], [2])
        assert joined.success is True
        assert joined.group == group
        assert store.fetch(results[0].task.id) is None

    def test_joining_twice_is_harmless(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        group = new_id()
        results = elements(make, group, 2)
        store.save(results)
        assert store.collate(group, 2) is True
        assert store.collate(group, 2) is True
        store.save(results[:1])  # delivered once more, and late
        assert store.collate(group, 2) is True
        assert self.get(store, group).result == [0, 10]
        assert store.count_group(group, failures=False) == 1
        assert store.fetch(results[0].task.id) is None

    def test_an_iter_with_a_failure_is_a_failure(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        group = new_id()
        good, bad = elements(make, group, 2)
        bad = msgspec.structs.replace(
            bad, outcome=Outcome.TIMEOUT, content="text", value=b'no "luck"'
        )
        store.save([bad, good])
        assert store.collate(group, 2) is True
        joined = self.get(store, group)
        assert joined.success is False
        assert joined.outcome == Outcome.TIMEOUT
        assert joined.result == [0, 'no "luck"']

    def test_an_iter_waits_for_a_call_that_may_still_succeed(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        group = new_id()
        well, first, other = elements(make, group, 3)
        failed = msgspec.structs.replace(
            first, outcome=Outcome.FAILURE, content="text", value=b"no", final=False
        )
        store.save([failed, well, other])
        assert store.collate(group, 3) is False
        assert store.fetch(group) is None
        store.save([msgspec.structs.replace(first, attempt=2)])
        assert store.collate(group, 3) is True
        joined = self.get(store, group)
        assert (joined.success, joined.result) == (True, [0, 10, 20])

    def test_calls_that_are_separated_are_results_of_their_own(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        # as after a list that was too long to be stored
        group = new_id()
        calls = elements(make, group, 3)
        store.save(calls)
        store.save([make(id=group, group=group, outcome=Outcome.FAILURE)])
        store.separate(group)
        assert store.collate(group, 3) is True
        found = store.fetch_group(group, failures=False)
        assert [record.result for record in found] == [0, 10, 20]
        assert self.get(store, group).success is False

    def test_elements_that_wait_are_not_members_of_the_group(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        group = new_id()
        store.save(elements(make, group, 3)[:2])
        assert store.count_group(group, failures=False) == 0
        assert store.fetch_group(group, failures=True) == []

    def test_joining_more_than_one_page(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        group = new_id()
        store.save(elements(make, group, 1203))
        assert store.collate(group, 1203) is True
        assert self.get(store, group).result == [n * 10 for n in range(1203)]
