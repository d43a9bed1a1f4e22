"""The ledger as the engine uses it: looks tickets up, and settles what has ended.

``settle`` runs inside ``transaction``, together with whatever else is to be committed with
it. It writes tickets and the packages that follow; what a settlement that is void would
have written, nobody writes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.utils import Error

from ..envelope import Outcome
from ..errors import LedgerBusy, LedgerError, QcoreError
from ..masking import mask_url
from ..models.missing_tables import migrate_advice
from ..results.sql import is_deadlock
from ..settled import ITERS, Settlement, TicketState
from ..tasks.calls import follow_on_id
from .features import tell
from .outbox import Outbox
from .tickets import Tickets

if TYPE_CHECKING:
    from ..conf import Conf
    from ..plugins.features import FeaturePlugins
    from ..settled import Settled

#: What drivers raise, besides Django's errors, while they turn values into a statement.
_RAISED = (Error, TypeError, ValueError, OverflowError, OSError)


class Ledger:
    """The ledger of a project, for one thread.

    Args:
        conf: the project's settings.
        plugins: those that are told what has become of the tasks that need them.

    Raises:
        ConfigError: the database of the ledger is of a kind that it does not work on.
    """

    def __init__(self, conf: Conf, plugins: FeaturePlugins | None = None) -> None:
        self._outbox = Outbox(conf)
        self._plugins = plugins
        self.database = self._outbox.database
        self._tickets = Tickets(self.database)

    @property
    def is_ready(self) -> bool:
        """Whether its tables are there.

        Raises:
            LedgerError: its database cannot be asked.
        """
        with self._errors("find the tables"):
            return self._outbox.is_ready

    def look_up(self, ids: Collection[str]) -> dict[str, TicketState]:
        """Return what the tickets of tasks say; a task without one is missing.

        Raises:
            LedgerError: its database cannot be asked.
        """
        with self._errors("look tickets up"):
            return self._tickets.look_up(ids)

    def count_claims(self, gens: Mapping[str, int]) -> dict[str, TicketState]:
        """Count one more claim of each package; return what the tickets of its tasks say then.

        The first delivery of a package is not counted here. So where the ticket has no count,
        that delivery is taken for an attempt, although it may have been given back: a task
        that kills its clusters must not have one attempt more.

        Args:
            gens: the gen of each package, by the id of its task. A package that is not the
                valid one, or whose task has ended, is not counted.

        Raises:
            LedgerError: its database does not take that.
        """
        with self.transaction(), self._errors("count claims"):
            states = self._tickets.lock(gens)
            counted = {
                id: state._replace(gen=gens[id], starts=_claims(state, gens[id]) + 1)
                for id, state in states.items()
                if state.final is None and gens[id] >= state.gen
            }
            self._tickets.update(counted)
        return states | counted

    def ping(self) -> None:
        """Check that tickets can be written now; nothing is changed.

        Raises:
            LedgerError: they cannot.
        """
        with self._errors("write a ticket"), transaction.atomic(self.database):
            self._tickets.insert({"": TicketState()})
            transaction.set_rollback(True, self.database)

    # -- settling ------------------------------------------------------------------
    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Return a transaction of the ledger's database.

        Raises:
            LedgerBusy: another one goes first; all of it is undone.
            LedgerError: it could not be committed.
        """
        # what else is raised is of the caller's own statements
        with self._errors("settle tasks", (Error,)):
            try:
                with transaction.atomic(self.database):
                    yield
            except QcoreError:
                self._outbox.close_if_unusable()
                raise

    def settle(self, settlements: Sequence[Settlement], token: str) -> list[bool]:
        """Write settlements down, in the transaction that is open.

        Args:
            settlements: in the order in which the tasks have ended.
            token: of the caller, who sends after the commit what has no delay.

        Returns:
            For each of them whether it holds. One that is void, because another package
            of its task is the valid one or has ended the task, has written nothing.
        """
        with self._errors("settle tasks"):
            holds = self._write_tickets(settlements)
            followers = [
                follower
                for settlement, held in zip(settlements, holds, strict=True)
                if held
                for follower in settlement.followers
            ]
            if followers:
                self._outbox.write_followers(followers, token)
            if self._plugins is not None and self._plugins.settle:
                # last: what plugins lock is locked for a short time
                pairs = zip(settlements, holds, strict=True)
                tell(self._plugins, [one.settled for one, held in pairs if held])
            return holds

    def give_back(self, settled: Sequence[Settled]) -> None:
        """Tell plugins of deliveries that are given back, in a transaction of its own.

        A start that has not begun is taken back: it uses up no attempt.

        Raises:
            LedgerError: a plugin has failed, or the database does not answer.
        """
        with self.transaction(), self._errors("settle tasks"):
            self._take_back([one for one in settled if one.unstarted and one.start])
            if self._plugins is not None and self._plugins.settle:
                tell(self._plugins, settled)

    def _take_back(self, settled: Sequence[Settled]) -> None:
        if not settled:
            return
        states = self._tickets.lock({one.task.id: one.gen for one in settled})
        changed = {}
        for one in settled:
            state = states[one.task.id]
            is_last = (state.gen, state.starts) == (one.gen, one.start)
            if is_last and state.final is None:
                changed[one.task.id] = state._replace(
                    starts=state.starts - 1, runs=max(0, state.runs - 1)
                )
        self._tickets.update(changed)

    def _write_tickets(self, settlements: Sequence[Settlement]) -> list[bool]:
        own = [one for one in settlements if one.has_ticket]
        if not own or self._all_are_first(own) or self._all_are_last(own):
            return [True] * len(settlements)
        gens: dict[str, int] = {}
        for one in own:
            id, gen = one.settled.task.id, one.settled.gen
            gens[id] = max(gen, gens.get(id, 0))
        states = self._tickets.lock(gens)
        changed: dict[str, TicketState] = {}
        holds = []
        for one in settlements:
            if not one.has_ticket:
                holds.append(True)
                continue
            id = one.settled.task.id
            new = states[id].after(one)
            holds.append(new is not None)
            if new is not None and new != states[id]:
                states[id] = changed[id] = new
        self._tickets.update(changed)
        return holds

    def _all_are_first(self, settlements: Sequence[Settlement]) -> bool:
        """Try to add final tickets for tasks that had none; one statement for them all."""
        finals = {
            one.settled.task.id: TicketState(
                gen=one.settled.gen, final=one.settled.outcome
            )
            for one in settlements
            if one.settled.final and not one.found
        }
        return len(finals) == len(settlements) and self._tickets.add_ends(finals)

    def _all_are_last(self, settlements: Sequence[Settlement]) -> bool:
        """Try to end tickets that were there at the claim; one statement for each outcome.

        What is written here stands where another ticket says otherwise: the slow way then
        finds these ends as if they had come before, and they hold.
        """
        ends: dict[tuple[str, int | None], set[str]] = {}
        for one in settlements:
            if not (one.settled.final and one.found):
                return False
            outcome, gen = one.settled.outcome, one.settled.gen
            key = (outcome, None if outcome == Outcome.SUCCESS else gen)
            ends.setdefault(key, set()).add(one.settled.task.id)
        ended = sum(
            self._tickets.end(ids, outcome, gen) for (outcome, gen), ids in ends.items()
        )
        # one task may have ended twice in this batch: then the first end holds
        return ended == len(settlements)

    # -- afterwards ----------------------------------------------------------------
    def sent(self, token: str, task_ids: Sequence[str]) -> None:
        """Delete the rows of followers that their writer has sent.

        Raises:
            LedgerError: the rows stay until the relay sends them once more.
        """
        with self._errors("delete rows of the outbox"):
            self._outbox.delete_tasks(token, task_ids)

    def leave(self, token: str, task_ids: Sequence[str]) -> None:
        """Leave the rows of followers to the relay, at once.

        Raises:
            LedgerError: the relay has them later.
        """
        with self._errors("give up rows of the outbox"):
            self._outbox.put_off_tasks(token, task_ids, 0)

    def forget(self, task_ids: Sequence[str]) -> None:
        """Delete the tickets of tasks that have ended, of which no package is left.

        Raises:
            LedgerError: they stay until they are old.
        """
        with self._errors("delete tickets"):
            self._tickets.delete(task_ids)

    def complete(self, iter_id: str) -> None:
        """Have the task sent that follows the calls of an ``async_iter``; once.

        Raises:
            LedgerError: it is not sent.
        """
        with self._errors("send what follows an async_iter"), self.transaction():
            self._outbox.wake(ITERS, [follow_on_id(iter_id)])

    def close(self) -> None:
        """Close the connection of this thread."""
        self._outbox.close()

    @contextmanager
    def _errors(
        self, what: str, raised: tuple[type[Exception], ...] = _RAISED
    ) -> Iterator[None]:
        """Raise what the database raises as LedgerError; let a broken connection go."""
        try:
            yield
        except raised as error:
            self._outbox.close_if_unusable()
            migrate = migrate_advice(error, self.database)
            kind = LedgerBusy if is_deadlock(error) else LedgerError
            raise kind(
                f"cannot {what} in the ledger, database {self.database!r}:"
                f" {type(error).__name__}: {mask_url(str(error))}"
                f"{migrate and f'. {migrate}'}"
            ) from error


def _claims(state: TicketState, gen: int) -> int:
    """Return how many claims of a package there were: its first one is written nowhere."""
    return max(1, state.starts) if gen == state.gen else 1
