"""Result stores that break a promise, some of the many that there are."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Sequence
from typing import ClassVar

import msgspec
import pytest
from broken_kit.common import (
    KeepsItsConnection,
    LosesItsConnection,
    Outages,
    Service,
    cases,
)

from qcore.conf import Conf
from qcore.envelope import Outcome, Result, Task
from qcore.errors import StoreRefused
from qcore.results.base import Record
from qcore.results.dead import DeadGroup, group_rows
from qcore.results.finished import FinishedTask
from qcore.results.memory import MemoryStore
from qcore.results.probe import probe
from qcore.results.rows import collapse, task_of
from qcore.results.tally import Tally
from qcore.testing import ResultStoreContract


class Sound(Service, MemoryStore):
    """Has no fault. Each subclass has one."""

    caught_by: ClassVar[str] = ""

    def save(self, results: Sequence[Result]) -> None:
        self.check()
        super().save(results)

    def fetch(self, key: str) -> FinishedTask | None:
        self.check()
        return super().fetch(key)

    def ping(self) -> None:
        self.check()


class ForgetsTheHook(Sound):
    caught_by = "test_a_result_comes_back_with_its_call"

    def fetch(self, key: str) -> FinishedTask | None:
        record = super().fetch(key)
        if record is not None:
            record.hook = None
        return record


class NeedsAResult(Sound):
    caught_by = "test_an_empty_batch_is_stored_without_complaint"

    def save(self, results: Sequence[Result]) -> None:
        results[0]
        super().save(results)


class FindsWhatIsNotThere(Sound):
    caught_by = "test_what_is_not_there_is_none"

    def delete(self, key: str) -> bool:
        super().delete(key)
        return True


class TakesNoneForNothing(Sound):
    caught_by = "test_a_falsy_result_is_a_result"

    def fetch(self, key: str) -> FinishedTask | None:
        record = super().fetch(key)
        return record if record and (record.result or not record.success) else None


class LetsTheLastWin(Sound):
    caught_by = "test_the_first_success_is_never_changed"

    def save(self, results: Sequence[Result]) -> None:
        for row in collapse(results):
            self._rows[row.id] = row


class LetsTheFirstWin(Sound):
    caught_by = "test_a_later_attempt_replaces_a_failure"

    def save(self, results: Sequence[Result]) -> None:
        super().save([one for one in results if one.task.id not in self._rows])


class LetsTheLastFailureWin(Sound):
    caught_by = (
        "test_an_earlier_attempt_that_comes_late_changes_a_failure_only_by_success"
    )

    def save(self, results: Sequence[Result]) -> None:
        for row in collapse(results):
            old = self._rows.get(row.id)
            if old is None or not old.success:
                self._rows[row.id] = row


class TakesATaskOnceInABatch(Sound):
    caught_by = "test_one_batch_may_hold_a_task_twice"

    def save(self, results: Sequence[Result]) -> None:
        super().save(list({one.task.id: one for one in results}.values()))


class CountsFailuresAsCrashes(Sound):
    caught_by = "test_crashes_add_up_and_failures_do_not"

    def crashes(self, ids: Collection[str]) -> dict[str, int]:
        rows = {id: self._rows.get(id) for id in ids}
        return {id: row.attempt_count if row else 0 for id, row in rows.items()}


class CountsADeathTwice(Sound):
    caught_by = "test_storing_the_same_attempt_twice_counts_its_crash_once"
    seen: ClassVar[dict[str, int]] = {}

    def save(self, results: Sequence[Result]) -> None:
        super().save(results)
        for one in results:
            crashed = one.outcome == "crash"
            self.seen[one.task.id] = self.seen.get(one.task.id, 0) + crashed

    def crashes(self, ids: Collection[str]) -> dict[str, int]:
        return {id: self.seen.get(id, 0) for id in ids}


class FindsTheOldest(Sound):
    caught_by = "test_a_name_finds_the_newest"

    def fetch(self, key: str) -> FinishedTask | None:
        named = [row for row in self._rows.values() if row.name == key]
        return self._record(named[0]) if named else super().fetch(key)


class TurnsGroupsAround(Sound):
    caught_by = "test_a_group_is_read_oldest_first"

    def fetch_group(self, group: str, failures: bool) -> list[FinishedTask]:  # type: ignore[override]
        return super().fetch_group(group, failures)[::-1]


class CountsSavesInAGroup(Sound):
    caught_by = "test_a_task_that_is_stored_again_is_in_its_group_once"
    saved: ClassVar[list[str | None]] = []

    def save(self, results: Sequence[Result]) -> None:
        super().save(results)
        self.saved += [one.task.group for one in results]

    def count_group(self, group: str, failures: bool) -> int:
        return (
            super().count_group(group, failures)
            if failures
            else self.saved.count(group)
        )


class DeletesByIdAlone(Sound):
    caught_by = "test_deleting_one_result"

    def delete(self, key: str) -> bool:
        return self._rows.pop(key, None) is not None


class DeletesTheTasksToo(Sound):
    caught_by = "test_deleting_a_group_or_only_its_label"

    def delete_group(self, group: str, tasks: bool) -> int:
        return super().delete_group(group, True)


class ForgetsLongNames(Sound):
    caught_by = "test_a_long_name_is_clipped_and_still_found"

    def fetch(self, key: str) -> FinishedTask | None:
        return super().fetch(key) if len(key) <= 100 else None


class RefusesANul(Sound):
    caught_by = "test_text_that_databases_refuse_is_stored_all_the_same"

    def save(self, results: Sequence[Result]) -> None:
        if any("\0" in one.task.name for one in results):
            raise ValueError("a string literal cannot contain NUL characters")
        super().save(results)


class KeepsAscii(Sound):
    caught_by = "test_emoji_and_quotes_survive"

    def save(self, results: Sequence[Result]) -> None:
        def plain(one: Result) -> Result:
            name = one.task.name.encode("ascii", "ignore").decode()
            task = msgspec.structs.replace(one.task, name=name)
            return msgspec.structs.replace(one, task=task)

        super().save([plain(one) for one in results])


class CutsAtANul(Sound):
    caught_by = "test_a_nul_in_a_value_is_kept"

    def save(self, results: Sequence[Result]) -> None:
        def cut(one: Result) -> Result:
            value = one.value.replace(b"\\u0000", b"")
            return msgspec.structs.replace(one, value=value)

        super().save([cut(one) for one in results])


class RaisesItsDriversErrors(Sound):
    caught_by = "test_what_cannot_be_stored_is_refused_and_stops_nothing"

    def save(self, results: Sequence[Result]) -> None:
        for one in results:
            one.attempt.to_bytes(4)
        super().save(results)


class StoresTheFirstOnes(Sound):
    caught_by = "test_a_batch_is_stored_whole_or_not_at_all"

    def save(self, results: Sequence[Result]) -> None:
        for one in results:
            if one.attempt > 2**31:
                raise StoreRefused("too many attempts")
            super().save([one])


class LeavesItsProbe(Sound):
    caught_by = "test_ping_answers_and_leaves_nothing"

    def ping(self) -> None:
        self.save([probe()])


class NeverConnectsAgain(LosesItsConnection, Sound):
    caught_by = "test_a_store_works_again_after_an_outage"


class BelongsToItsParent(KeepsItsConnection, Sound):
    caught_by = "test_a_closed_store_works_on_both_sides_of_a_fork"


class CountsWhatWaits(Sound):
    caught_by = "test_what_is_stored_is_counted_or_counting_refused"

    def count(self, since: dt.datetime | None = None) -> Tally:
        done = sum(row.success for row in self._rows.values())
        return Tally(done, len(self._rows) - done)


class CountsNothingAndDoesNotSay(Sound):
    caught_by = "test_what_is_stored_is_counted_or_counting_refused"
    supports_counts = False

    def count(self, since: dt.datetime | None = None) -> Tally:
        return Tally(0, 0)


class CountsFromTheBeginning(Sound):
    caught_by = "test_counting_begins_at_a_moment"

    def count(self, since: dt.datetime | None = None) -> Tally:
        return super().count(since and dt.datetime.fromtimestamp(0, dt.UTC))


class CountsNoQuarantine(Sound):
    caught_by = "test_quarantine_is_counted_where_it_is_kept"

    def quarantined(self) -> int:
        return 0


class JoinsWithWhatRunsAgain(Sound):
    caught_by = "test_an_iter_waits_for_a_call_that_may_still_succeed"

    def save(self, results: Sequence[Result]) -> None:
        super().save([msgspec.structs.replace(one, final=True) for one in results])


class ForgetsSeparatedCalls(Sound):
    caught_by = "test_calls_that_are_separated_are_results_of_their_own"

    def separate(self, group: str) -> None:
        """Leave them to the next ``collate``, which deletes them."""


class JoinsTooEarly(Sound):
    caught_by = "test_an_iter_is_joined_once_all_are_there"

    def collate(self, group: str, count: int) -> bool:
        return super().collate(group, 1)


class ForgetsThatItHasJoined(Sound):
    caught_by = "test_joining_twice_is_harmless"

    def collate(self, group: str, count: int) -> bool:
        return group not in self._rows and super().collate(group, count)


class JoinsToASuccess(Sound):
    caught_by = "test_an_iter_with_a_failure_is_a_failure"

    def collate(self, group: str, count: int) -> bool:
        done = super().collate(group, count)
        if group in self._rows:
            row = self._rows[group]
            self._rows[group] = msgspec.structs.replace(
                row, success=True, outcome=Outcome.SUCCESS
            )
        return done


class ShowsElements(Sound):
    caught_by = "test_elements_that_wait_are_not_members_of_the_group"

    def count_group(self, group: str, failures: bool) -> int:
        return len(self._labelled(group))


class JoinsOnePage(Sound):
    caught_by = "test_joining_more_than_one_page"

    def collate(self, group: str, count: int) -> bool:
        return super().collate(group, count) if count <= 1000 else False


class TakesEachAttemptForTheLast(Sound):
    caught_by = "test_whether_a_task_is_run_again_is_kept"

    def save(self, results: Sequence[Result]) -> None:
        super().save([msgspec.structs.replace(one, final=True) for one in results])


class ForgetsThePriority(Sound):
    caught_by = "test_a_task_is_had_as_it_was_sent_or_that_is_refused"

    def task_of(self, id: str) -> Task | None:
        task = super().task_of(id)
        return None if task is None else msgspec.structs.replace(task, priority=0)


class TakesAJoinedResultForATask(Sound):
    caught_by = "test_a_joined_result_is_no_task"

    def task_of(self, id: str) -> Task | None:
        return task_of(self._rows[id]) if id in self._rows else None


class GroupsByFunctionOnly(Sound):
    caught_by = "test_the_dead_are_grouped_or_that_is_refused"

    def dead_groups(self, limit: int | None = None) -> list[DeadGroup]:
        rows = self._rows.values()
        same = [
            msgspec.structs.replace(row, fingerprint="0") for row in rows if row.is_dead
        ]
        return group_rows(same)[:limit]


class ListsTheFirstPageAgain(Sound):
    caught_by = "test_dead_tasks_are_listed_page_by_page"

    def dead_tasks(
        self,
        func: str | None = None,
        fingerprint: str | None = None,
        *,
        before: str | None = None,
        limit: int = 100,
    ) -> list[Record]:
        return super().dead_tasks(func, fingerprint, limit=limit)


class DiscardsWhatIsTriedAgain(Sound):
    caught_by = "test_only_the_dead_are_discarded"

    def discard_dead(self, ids: Collection[str]) -> list[str]:
        return [id for id in ids if self._rows.pop(id, None) is not None]


class IsDeadForEver(Sound):
    caught_by = "test_a_task_that_succeeds_after_all_is_not_dead"

    _dead: ClassVar[dict[str, FinishedTask]] = {}

    def save(self, results: Sequence[Result]) -> None:
        super().save(results)
        for one in results:
            if not one.success:
                self._dead[one.task.id] = FinishedTask(one, ["json"])

    def dead_tasks(self, *asked: object, **more: object) -> list[Record]:
        return list(self._dead.values())


class Case(Outages, ResultStoreContract):
    kind: ClassVar[type[Sound]]
    crosses_processes = True

    @pytest.fixture
    def store(self) -> Iterator[Sound]:
        yield self.kind(Conf.from_dict({}))
        self.kind.clear()


globals().update(cases(globals(), Sound, Case))
