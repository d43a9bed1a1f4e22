"""What a result store promises about saving, reading and deleting."""

from __future__ import annotations

import msgspec
import pytest

from ....envelope import Outcome, new_id
from ....results.base import ResultStore
from ..samples import MakeResult
from .case import StoreCase


class SavingContract(StoreCase):
    """Results come back as they were saved."""

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
