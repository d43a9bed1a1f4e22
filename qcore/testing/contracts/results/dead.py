"""What a result store promises about tasks that have failed for good."""

from __future__ import annotations

import msgspec
import pytest

from ....envelope import RESENT_FROM, Options, Outcome, Result, new_id
from ....errors import StoreError
from ....results.base import ResultStore
from ..samples import MakeResult, elements
from .case import StoreCase

_TRACE = (
    'Traceback (most recent call last):\n  File "/srv/{}/tasks.py", line {}, in add'
)


def _failed(make: MakeResult, folder: str = "shop", **fields: object) -> Result:
    """Return a failure whose error passed through a folder, at some line of it."""
    number = fields.pop("line", 7)
    error = f"ValueError: no {number}\n\n{_TRACE.format(folder, number)}\n    go()\n"
    outcome = fields.pop("outcome", Outcome.FAILURE)
    return make(outcome=outcome, error=error, **fields)


class DeadContract(StoreCase):
    """Dead tasks are known, can be listed and can be sent again."""

    def test_whether_a_task_is_run_again_is_kept(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        last = _failed(make)
        other = msgspec.structs.replace(_failed(make), final=False)
        well = make(1)
        store.save([last, other, well])
        assert self.get(store, last.task.id).final is True
        assert self.get(store, other.task.id).final is False
        assert self.get(store, well.task.id).final is True
        ended = msgspec.structs.replace(other, attempt=2, final=True)
        store.save([ended])
        assert self.get(store, other.task.id).final is True

    def test_a_task_is_had_as_it_was_sent_or_that_is_refused(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        result = _failed(
            make,
            args=[1, "x"],
            hook="shop.tasks.done",
            group="sums",
            options=Options(max_attempts=3, timeout=None),
            priority=7,
            headers={RESENT_FROM: "0" * 32},
        )
        store.save([result])
        if not store.supports_resend:
            with pytest.raises(StoreError):
                store.task_of(result.task.id)
            return
        assert store.task_of(result.task.id) == result.task
        assert store.task_of(new_id()) is None
        assert store.task_of(result.task.name) is None

    def test_a_joined_result_is_no_task(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        if not store.supports_resend:
            pytest.skip("it does not know what a task was sent with")
        group = new_id()
        store.save(elements(make, group, 2))
        store.collate(group, 2)
        with pytest.raises(StoreError):
            store.task_of(group)

    def test_the_dead_are_grouped_or_that_is_refused(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        if not store.supports_dead:
            for call in (store.dead_groups, store.dead_tasks):
                with pytest.raises(StoreError):
                    call()
            with pytest.raises(StoreError):
                store.discard_dead([new_id()])
            return
        assert store.dead_groups() == []
        dead = [_failed(make, line=line) for line in (7, 8, 9)]
        other = _failed(make, "mail")
        killed = make(outcome=Outcome.CRASH, error="the worker 17 died: signal 9")
        again = make(outcome=Outcome.CRASH, error="the worker 18 died: signal 11")
        retried = msgspec.structs.replace(_failed(make), final=False)
        cancelled = make(outcome=Outcome.CANCELLED, error="TaskCancelled: no")
        store.save([*dead, other, killed, again, retried, cancelled, make(1)])
        groups = {group.fingerprint: group for group in store.dead_groups()}
        assert sorted(group.count for group in groups.values()) == [1, 2, 3]
        (largest,) = [group for group in groups.values() if group.count == 3]
        assert largest.func == "shop.tasks.add"
        newest = max(dead, key=lambda one: one.task.id)
        assert largest.example == newest.task.id
        assert largest.error == newest.value.decode().partition("\n")[0]
        assert largest.first.timestamp() == pytest.approx(dead[0].stopped, abs=0.01)
        assert largest.last.timestamp() == pytest.approx(dead[2].stopped, abs=0.01)
        first = store.dead_groups()[0]
        assert first.count == 2, "the latest failure first"
        assert store.dead_groups(1) == [first]

    def test_dead_tasks_are_listed_page_by_page(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        if not store.supports_dead:
            pytest.skip("it does not know dead tasks")
        dead = [_failed(make, line=line) for line in range(5)]
        other = _failed(make, "mail", func="mail.tasks.send")
        store.save([*dead, other, make(1)])
        ids = sorted((one.task.id for one in [*dead, other]), reverse=True)
        first = [record.id for record in store.dead_tasks(limit=4)]
        assert first == ids[:4]
        rest = store.dead_tasks(before=first[-1], limit=4)
        assert [record.id for record in rest] == ids[4:]
        assert [one.id for one in store.dead_tasks("mail.tasks.send")] == [
            other.task.id
        ]
        (group,) = [one for one in store.dead_groups() if one.count == 5]
        found = store.dead_tasks(group.func, group.fingerprint)
        assert {record.id for record in found} == {one.task.id for one in dead}
        assert store.dead_tasks(fingerprint="0" * 12) == []

    def test_only_the_dead_are_discarded(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        if not store.supports_dead:
            pytest.skip("it does not know dead tasks")
        dead, kept = _failed(make), _failed(make)
        retried = msgspec.structs.replace(_failed(make), final=False)
        well = make(1)
        store.save([dead, kept, retried, well])
        ids = [one.task.id for one in (dead, retried, well)]
        assert store.discard_dead([*ids, new_id()]) == [dead.task.id]
        assert store.discard_dead(ids) == []
        assert store.fetch(dead.task.id) is None
        for one in (kept, retried, well):
            assert store.fetch(one.task.id) is not None

    def test_a_task_that_succeeds_after_all_is_not_dead(
        self, store: ResultStore, make: MakeResult
    ) -> None:
        result = _failed(make)
        store.save([result])
        store.save([make(5, id=result.task.id, attempt=2)])
        assert self.get(store, result.task.id).success is True
        if store.supports_dead:
            assert store.dead_tasks() == []
            assert store.discard_dead([result.task.id]) == []
