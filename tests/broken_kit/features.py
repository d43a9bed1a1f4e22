"""Feature plugins that break a promise."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import django
import pytest
from broken_kit.common import cases
from django.conf import settings

if not settings.configured:  # in the run of their own; else those of the tests
    settings.configure(
        DATABASES={
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
        },
        INSTALLED_APPS=["qcore"],
        SECRET_KEY="a key for tests, of no use to anybody",
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
        Q_CLUSTER={"name": "kit"},
    )
    django.setup()

from django.core.management import call_command
from django.db import connection, models

from qcore import (
    RUN,
    Admission,
    Claim,
    Drop,
    NewTask,
    Settled,
    TaskOption,
    hookimpl,
)
from qcore.plugins import Plugin, Registry
from qcore.runtime import current
from qcore.testing import FeatureContract


class Row(models.Model):
    """What the plugin has written of one task."""

    task_id = models.CharField(max_length=40, primary_key=True)
    key = models.CharField(max_length=100)
    started = models.BooleanField(default=False)

    class Meta:
        app_label = "broken_kit"

    def __str__(self) -> str:
        return str(self.task_id)


class Sound:
    """Keeps a row for each task that has the option, and marks those that start. No fault."""

    caught_by: ClassVar[str] = ""
    help = "A key."
    declares = True
    memory: ClassVar[list[str]] = []

    def read(self, value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError("a text")  # noqa: TRY004 - as options are refused
        return value

    def before_send(self, tasks: Sequence[NewTask]) -> None:
        mine = [new for new in tasks if "key" in new.options]
        if not mine:
            return
        self.write(mine)
        for new in mine:
            new.need("keys")

    def write(self, tasks: Sequence[NewTask]) -> None:
        rows = [Row(task_id=new.task.id, key=new.options["key"]) for new in tasks]
        Row.objects.bulk_create(rows, ignore_conflicts=True)

    def admit(self, claims: Sequence[Claim]) -> list[Admission]:
        self.start([claim.task.id for claim in claims])
        return [RUN for _ in claims]

    def start(self, ids: Sequence[str]) -> None:
        Row.objects.filter(task_id__in=ids).update(started=True)

    def settle(self, settled: Sequence[Settled]) -> None:
        over = [one.task.id for one in settled if one.final]
        back = [one.task.id for one in settled if not one.final]
        if over:
            Row.objects.filter(task_id__in=over).delete()
        if back:
            Row.objects.filter(task_id__in=back).update(started=False)

    def sweep(self, now: float) -> float | None:
        Row.objects.filter(key="").delete()
        return 60.0


class ReadsDifferentlyAgain(Sound):
    caught_by = "test_what_it_has_read_can_be_read_again"

    def read(self, value: Any) -> Any:
        return f"key:{super().read(value)}"


class DoesNotExplain(Sound):
    caught_by = "test_it_says_what_it_is"
    help = "key"


class TakesAnything(Sound):
    caught_by = "test_wrong_options_are_refused"

    def read(self, value: Any) -> Any:
        return str(value)


class TouchesPlainTasks(Sound):
    caught_by = "test_a_plain_task_is_left_alone"
    declares = False  # so it sees every task

    def before_send(self, tasks: Sequence[NewTask]) -> None:
        Row.objects.filter(task_id__in=[new.task.id for new in tasks]).exists()
        super().before_send(tasks)


class IsNeverNeeded(Sound):
    caught_by = "test_a_task_with_the_options_needs_the_plugin"

    def before_send(self, tasks: Sequence[NewTask]) -> None:
        self.write([new for new in tasks if "key" in new.options])


class WritesAtEachQuestion(Sound):
    caught_by = "test_the_same_task_again_is_the_same"

    def write(self, tasks: Sequence[NewTask]) -> None:
        count = Row.objects.count()
        for place, new in enumerate(tasks):
            id = f"{new.task.id[:30]}{count + place}"
            Row.objects.create(task_id=id, key=new.options["key"])


class WritesOutsideOfTheTransaction(Sound):
    caught_by = "test_a_rollback_takes_along_what_it_has_written"

    def write(self, tasks: Sequence[NewTask]) -> None:
        self.memory.extend(new.task.id for new in tasks)
        super().write(tasks)


class WritesOneByOne(Sound):
    caught_by = "test_a_batch_is_sent_at_the_price_of_a_few"

    def write(self, tasks: Sequence[NewTask]) -> None:
        for new in tasks:
            super().write([new])


class AnswersForAll(Sound):
    caught_by = "test_each_claim_is_answered"

    def admit(self, claims: Sequence[Claim]) -> list[Admission]:
        return super().admit(claims)[:1]


class TakesACopyForADouble(Sound):
    caught_by = "test_the_same_claim_again_is_answered_alike"

    def admit(self, claims: Sequence[Claim]) -> list[Admission]:
        ids = [claim.task.id for claim in claims]
        rows = Row.objects.filter(task_id__in=ids, started=True)
        began = set(rows.values_list("task_id", flat=True))
        self.start(ids)
        return [Drop("replaced", "it runs") if id in began else RUN for id in ids]


class RequiresItsRows(Sound):
    caught_by = "test_a_claim_of_a_task_without_rows_is_answered"

    def start(self, ids: Sequence[str]) -> None:
        assert Row.objects.filter(task_id__in=ids).count() == len(ids)
        super().start(ids)


class RemembersItsAnswers(Sound):
    caught_by = "test_an_answer_that_is_rolled_back_leaves_nothing"

    def start(self, ids: Sequence[str]) -> None:
        self.memory.extend(ids)
        super().start(ids)


class AnswersOneByOne(Sound):
    caught_by = "test_a_batch_is_answered_at_the_price_of_a_few"

    def start(self, ids: Sequence[str]) -> None:
        for id in ids:
            super().start([id])


class FreesAfterSuccesses(Sound):
    caught_by = "test_every_end_frees_what_it_holds"

    def settle(self, settled: Sequence[Settled]) -> None:
        super().settle([one for one in settled if one.outcome == "success"])


class CountsEnds(Sound):
    caught_by = "test_an_end_again_changes_nothing"

    def settle(self, settled: Sequence[Settled]) -> None:
        count = Row.objects.filter(key="ended").count()
        Row.objects.create(task_id=f"end {count}", key="ended")
        super().settle(settled)


class EndsOnlyWhatHasBegun(Sound):
    caught_by = "test_a_task_may_end_before_it_has_begun"

    def settle(self, settled: Sequence[Settled]) -> None:
        ids = [one.task.id for one in settled if one.final]
        assert not Row.objects.filter(task_id__in=ids, started=False).exists()
        super().settle(settled)


class RequiresItsRowsAtTheEnd(Sound):
    caught_by = "test_an_end_of_a_task_without_rows_is_heard"

    def settle(self, settled: Sequence[Settled]) -> None:
        for one in settled:
            Row.objects.get(task_id=one.task.id)
        super().settle(settled)


class SettlesOutsideOfTheTransaction(Sound):
    caught_by = "test_an_end_that_is_rolled_back_leaves_nothing"

    def settle(self, settled: Sequence[Settled]) -> None:
        self.memory.extend(one.task.id for one in settled)
        super().settle(settled)


class DropsWhatWasGivenBack(Sound):
    caught_by = "test_what_is_given_back_may_begin_again"

    def settle(self, settled: Sequence[Settled]) -> None:
        ids = [one.task.id for one in settled]
        Row.objects.filter(task_id__in=ids).delete()

    def admit(self, claims: Sequence[Claim]) -> list[Admission]:
        ids = [claim.task.id for claim in claims]
        found = Row.objects.filter(task_id__in=ids).values_list("task_id", flat=True)
        there = set(found)
        return [RUN if id in there else Drop("replaced", "it is gone") for id in ids]


class SettlesOneByOne(Sound):
    caught_by = "test_ends_are_heard_at_the_price_of_a_few"

    def settle(self, settled: Sequence[Settled]) -> None:
        for one in settled:
            super().settle([one])


class SweepsTooMuch(Sound):
    caught_by = "test_a_sweep_leaves_alone_what_is_in_use"

    def sweep(self, now: float) -> float | None:
        Row.objects.filter(started=False).delete()
        return 60.0


class SweepsAllTheTime(Sound):
    caught_by = "test_a_sweep_of_nothing_is_cheap"

    def sweep(self, now: float) -> float | None:
        for _ in range(30):
            super().sweep(now)
        return 0.0


def module_of(kind: type[Sound]) -> types.ModuleType:
    """Return a plugin's module with the hooks of a part."""
    part = kind()
    module = types.ModuleType("broken_kit_feature")

    def qcore_task_options() -> list[TaskOption]:
        return [TaskOption("key", part.read, part.help)] if part.declares else []

    def qcore_before_send(tasks: Any) -> None:
        part.before_send(tasks)

    def qcore_admit(claims: Any) -> Any:
        return part.admit(claims)

    def qcore_settle(settled: Any) -> None:
        part.settle(settled)

    def qcore_sweep(now: float) -> float | None:
        return part.sweep(now)

    hooks = (
        qcore_task_options,
        qcore_before_send,
        qcore_admit,
        qcore_settle,
        qcore_sweep,
    )
    vars(module).update({hook.__name__: hookimpl(hook) for hook in hooks})
    return module


class Case(FeatureContract):
    kind: ClassVar[type[Sound]]
    name = "keys"
    options: ClassVar = {"key": "order 17"}
    wrong_options: ClassVar = ({"key": 17}, {"key": None, "kee": "x"})

    @pytest.fixture(autouse=True)
    def _installed(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        if "qcore_ticket" not in connection.introspection.table_names():
            call_command("migrate", verbosity=0)
            with connection.schema_editor() as editor:
                editor.create_model(Row)
        registry = Registry(only=[])
        registry.register(
            module_of(self.kind),
            Plugin(self.name, "keys", "1.0", "broken_kit.features"),
        )
        monkeypatch.setitem(current._made, "registry", registry)
        Sound.memory.clear()
        Row.objects.all().delete()
        yield
        Row.objects.all().delete()

    @pytest.fixture
    def holds(self) -> Any:
        return lambda task: Row.objects.filter(task_id=task.id).exists()

    @pytest.fixture
    def state(self) -> Any:
        return lambda: (sorted(Row.objects.values_list()), list(Sound.memory))


globals().update(cases(globals().copy(), Sound, Case))
