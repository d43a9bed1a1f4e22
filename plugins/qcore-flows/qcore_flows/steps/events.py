"""Events: emit, and the lock under which a run looks for one.

Whoever emits an event and whoever waits for it lock the row of the event first. So of the
two, the second sees what the first has written, and no run waits for what has happened.
"""

from __future__ import annotations

from typing import Any

from qcore.brokers.tools import chunks
from qcore.conf.names import shown as described
from qcore.errors import BrokerUnavailable

from ..blocking import async_variant, blocking
from ..models.steps import Event, Run, RunStep
from .errors import StepError
from .ledger import the_ledger
from .names import digest, shown
from .values import Value, encode
from .words import PLUGIN, RunState

#: Ids in one statement. SQLite before 3.32 takes 999 parameters.
MOST = 150
#: Characters that the name of an event may have.
LONGEST = 10_000


def event_name(event: object) -> str:
    """Return the name of an event.

    Raises:
        StepError: it is none.
    """
    if not isinstance(event, str) or not 0 < len(event) <= LONGEST:
        raise StepError(
            f"the name of an event is {described(event)}, expected a text such as"
            " 'paid:17'"
        )
    return event


@blocking
def emit(event: str, payload: Any = None) -> bool:
    """Say that something has happened; runs that wait for it go on.

    The first one counts: once an event has happened, it has that payload for ever. It is
    written in the transaction that is open on the ledger's database, and undone with it.
    Runs that begin to wait for it later find it, for 90 days.

    Args:
        event: what has happened: ``f"paid:{order_id}"``.
        payload: what ``wait_event`` returns: anything that can be the result of a task.

    Returns:
        Whether this call was the first one.

    Raises:
        StepError: the name is no text, or the payload cannot be stored.
        EnqueueError: the project has no ledger, or this app is not installed.
        BrokerUnavailable: its tables are missing until somebody runs ``migrate``.
        django.db.Error: the database does not take it.
    """
    name = event_name(event)
    value = encode(payload, f"the event {name!r}")
    ledger = the_ledger("emit()")
    if told := ledger.lacking(["flows"]):
        raise BrokerUnavailable(f"cannot emit {name!r}: {told}")
    return ledger.run(lambda: _emit(name, value))


aemit = async_variant(emit)


def _emit(name: str, value: Value) -> bool:
    ledger = the_ledger("emit()")
    now = ledger.now()
    row = lock_event(name, now)
    if row.emitted is not None:
        return False
    row.emitted, row.content, row.value = now, value.content, value.data
    row.since = now  # it is kept from now on, however long somebody has waited for it
    row.save(
        using=ledger.database, update_fields=["emitted", "content", "value", "since"]
    )
    # the newest rows, whatever the isolation of the caller's transaction is
    steps = RunStep.objects.using(ledger.database).select_for_update()
    ids = set(steps.filter(event=row.digest).values_list("run_id", flat=True))
    runs = Run.objects.using(ledger.database)
    for part in chunks(sorted(ids), MOST):
        found = runs.select_for_update().filter(pk__in=part).order_by("pk")
        states = dict(found.values_list("pk", "state"))
        runs.filter(pk__in=part).update(woken=True)
        # one that is about to be suspended is woken where that is settled
        asleep = [id for id, state in states.items() if state == RunState.SUSPENDED]
        if asleep:
            ledger.wake(PLUGIN, asleep)
            runs.filter(pk__in=asleep).update(state=RunState.WAITING)
    return True


def lock_event(name: str, now: float) -> Event:
    """Return the row of an event, made where it is missing, until the transaction ends."""
    database = the_ledger("an event").database
    events = Event.objects.using(database)
    mark = digest(name)
    # first: in SQLite it takes the lock for writing
    events.bulk_create(
        [Event(digest=mark, name=shown(name), since=now)], ignore_conflicts=True
    )
    return events.select_for_update().get(pk=mark)
