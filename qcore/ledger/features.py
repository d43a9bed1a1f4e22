"""Features: asks plugins about the tasks that need them, in transactions of the ledger.

The transaction of an admission counts the start of a task that may run, and moves a task
that is sent again, or parked, to the outbox. The old package is acknowledged after that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.db import connections
from django.db.utils import Error, InterfaceError, OperationalError

from ..envelope import Outcome
from ..errors import LedgerError, PluginBroken, PluginUnready
from ..features import (
    RUN,
    Admission,
    Admitted,
    Claim,
    Drop,
    Later,
    Park,
    Release,
    Run,
)
from ..masking import mask_url
from ..models.missing_tables import is_missing
from ..printable import first_line
from ..settled import Settled, TicketState
from .answers import answers_of
from .moves import Move, write_moves
from .tickets import Tickets

if TYPE_CHECKING:
    from ..envelope import Task
    from ..plugins.features import FeaturePlugins
    from ..runtime import LedgerPlace

logger = logging.getLogger("qcore.features")

#: Seconds after which a package is looked at again that another one has overtaken just now:
#: then its ticket tells what to do.
_OVERTAKEN = 1.0


@contextmanager
def _answering(database: str) -> Iterator[None]:
    """Say that the ledger is away where its database does not answer.

    Raises:
        LedgerError: it does not; a connection that broke is closed.
        PluginUnready: it answers, and the tables of a plugin are missing there.
    """
    try:
        yield
    except Error as error:
        connections[database].close_if_unusable_or_obsolete()
        if is_missing(error):  # those of the ledger are there: only this plugin waits
            raise PluginUnready(
                f"tables of a plugin are missing or old in the database {database!r}:"
                f" {first_line(str(error).strip())}. Run: python manage.py migrate"
                f" --database={database}"
            ) from error
        if not isinstance(error, (OperationalError, InterfaceError)):
            raise
        raise LedgerError(
            f"the ledger in database {database!r} does not answer:"
            f" {type(error).__name__}: {mask_url(str(error))}"
        ) from error


class Features:
    """The plugins that tasks may need, for one thread.

    Args:
        plugins: those that are loaded.
        ledger: of this thread; None: there is none.
        sign: makes the package of a task.
    """

    def __init__(
        self,
        plugins: FeaturePlugins,
        ledger: LedgerPlace | None,
        sign: Callable[[Task], bytes],
    ) -> None:
        self._plugins = plugins
        self._ledger = ledger
        self._sign = sign

    def lacking(self, task: Task) -> str | None:
        """Return the name of a plugin that a task needs and this cluster lacks."""
        for name in task.needs:
            if name not in self._plugins.names:
                return name
        return None

    def admit(self, claims: Sequence[Claim]) -> list[Admitted]:
        """Return for each claim whether its task may run; all in one transaction.

        A task that may run has one start more by then, and one attempt. One that comes
        ``Later``, or is parked, is a row of the outbox by then: its delivery is to be
        acknowledged.

        Raises:
            LedgerError: the ledger is away; nothing is decided.
            PluginBroken: a plugin has answered what is no answer; nothing is decided.
            PluginUnready: it lacks its tables; nothing is decided.
            Exception: what a plugin has raised; nothing is decided.
        """
        ledger = self._ledger
        if ledger is None:
            raise LedgerError("no database has the tables of the ledger")
        with _answering(ledger.database):
            if not ledger.is_ready:
                raise LedgerError(
                    f"the database {ledger.database!r} lacks the tables of the ledger."
                    " Run: python manage.py migrate"
                )
            needed = {name for claim in claims for name in claim.task.needs}
            if told := ledger.lacking(sorted(needed)):
                raise PluginUnready(told)  # tasks of other plugins need not wait
            return ledger.run(lambda: self._admit(ledger.database, claims))

    def _admit(self, database: str, claims: Sequence[Claim]) -> list[Admitted]:
        """Ask plugins, then write down the starts and the moves."""
        tickets = Tickets(database)
        # first, as where tasks are settled: so the two never wait for each other
        states, stored = _begin(tickets, claims)
        numbered: list[Claim] = []
        answers: list[Admission] = []
        seen: set[str] = set()
        for claim in claims:
            id, state = claim.task.id, states[claim.task.id]
            answers.append(_known(claim, state) if id not in seen else _again())
            seen.add(id)
            runs, starts = state.runs + 1, state.starts + 1
            numbered.append(Claim(claim.task, runs, claim.lease_end, starts))
        refused = self._ask(numbered, answers)
        after = dict(states)
        moves: list[Move] = []
        for claim, answer in zip(numbered, answers, strict=True):
            id, state = claim.task.id, states[claim.task.id]
            if isinstance(answer, Run):
                after[id] = TicketState(
                    claim.gen, claim.start, claim.attempt, state.final, state.cancelled
                )
            elif isinstance(answer, (Later, Park)):
                after[id] = state._replace(gen=claim.gen + 1)
                holder, seconds = refused[id], getattr(answer, "after", None)
                moves.append(
                    Move(claim.task, seconds, holder if seconds is None else None)
                )
        tickets.update(
            {id: state for id, state in after.items() if state != stored[id]}
        )
        write_moves(moves, self._sign)
        return [
            Admitted(answer, after[claim.task.id])
            for claim, answer in zip(claims, answers, strict=True)
        ]

    def _ask(self, claims: Sequence[Claim], answers: list[Admission]) -> dict[str, str]:
        """Ask the first plugin of each task, then the second, and so on.

        Plugins that have let a task run hear of it where a later one does not.

        Args:
            claims: with the numbers of their starts.
            answers: so far; the last words take their places.

        Returns:
            The plugin that has refused each task which does not run.
        """
        place = 0
        refused: dict[str, str] = {}
        while True:
            asked: dict[str, list[int]] = {}
            for number, claim in enumerate(claims):
                needs = claim.task.needs
                if place < len(needs) and isinstance(answers[number], Run):
                    asked.setdefault(needs[place], []).append(number)
            if not asked:
                return refused
            ended = []
            for name, numbers in asked.items():
                ended += self._ask_one(name, numbers, claims, answers, refused)
            if place and ended:
                _tell_of_refusals(self._plugins, ended, refused)
            place += 1

    def _ask_one(
        self,
        name: str,
        numbers: Sequence[int],
        claims: Sequence[Claim],
        answers: list[Admission],
        refused: dict[str, str],
    ) -> list[Settled]:
        """Ask one plugin about some of the claims; return what the plugins before it hear."""
        hook = self._plugins.admit.get(name)
        if hook is None:
            return []  # it has nothing to say at the claim
        ended = []
        found = answers_of(name, hook, [claims[number] for number in numbers])
        for number, answer in zip(numbers, found, strict=True):
            if not isinstance(answer, Run):
                answers[number] = answer
                refused[claims[number].task.id] = name
                ended.append(_undone(claims[number], answer))
            elif answer.holds:
                answers[number] = answer  # whatever others say
        return ended

    @property
    def renews(self) -> bool:
        """Whether any plugin holds something for running tasks."""
        return bool(self._plugins.renew) and self._ledger is not None

    def renew(self, claims: Sequence[Claim]) -> set[tuple[str, int]]:
        """Have plugins renew what tasks hold that have started here.

        Args:
            claims: of these tasks, as they were admitted.

        Returns:
            The ids and starts of those that hold it no more.

        Raises:
            LedgerError: the ledger is away.
            Exception: what a plugin has raised; nothing is renewed.
        """
        ledger = self._ledger
        assert ledger is not None
        lost: set[tuple[str, int]] = set()

        def renew() -> None:
            for name, hook in self._plugins.renew.items():
                own = [claim for claim in claims if name in claim.task.needs]
                ids = set(hook(claims=own) or ()) if own else set()
                lost.update(
                    (claim.task.id, claim.start)
                    for claim in own
                    if claim.task.id in ids
                )

        with _answering(ledger.database):
            ledger.run(renew)
        return lost

    def close(self) -> None:
        """Close the connection of this thread."""
        if self._ledger is not None:
            connections[self._ledger.database].close()


def _begin(
    tickets: Tickets, claims: Sequence[Claim]
) -> tuple[dict[str, TicketState], dict[str, TicketState]]:
    """Lock the tickets of claims, made where they are missing.

    Nearly always no task of a batch has begun before: then its start is written at once, and
    is taken back where the task does not run.

    Returns:
        What the tickets say, by the ids of the tasks; and what is stored for each.
    """
    if all(claim.attempt == 1 and not claim.gen for claim in claims):
        new = dict.fromkeys([claim.task.id for claim in claims], TicketState())
        if len(new) == len(claims) and tickets.begin(new):
            return new, dict.fromkeys(new, TicketState(starts=1, runs=1))
    states = tickets.lock({claim.task.id: claim.gen for claim in claims})
    return states, states


def _known(claim: Claim, state: TicketState) -> Admission:
    """Return what the ticket of a task says of its claim, now that it is locked."""
    if state.final is not None or state.gen > claim.gen:
        return _again()
    if state.cancelled is not None:
        return Drop(Outcome.CANCELLED, "the task was cancelled while it waited")
    return RUN


def _again() -> Release:
    return Release(_OVERTAKEN, "the task has ended, or has a newer package")


def _undone(claim: Claim, answer: Admission) -> Settled:
    """Return what plugins hear that have let a task run which does not run now."""
    return Settled(
        task=claim.task,
        outcome=Outcome.STOPPED,
        final=False,
        again=getattr(answer, "after", None),
        unstarted=True,
        start=claim.start,
    )


def _tell_of_refusals(
    plugins: FeaturePlugins, ended: Sequence[Settled], refused: Mapping[str, str]
) -> None:
    """Tell the plugins before the one that has refused a task.

    Raises:
        PluginBroken: one of them has failed: for one of these tasks, and the ledger is not
            away.
    """
    try:
        tell(plugins, ended, before=refused)
    except LedgerError as error:
        raise PluginBroken(str(error)) from error


def tell(
    plugins: FeaturePlugins,
    settled: Sequence[Settled],
    before: Mapping[str, str] | None = None,
) -> None:
    """Tell plugins what has become of tasks that need them, in the transaction that is open.

    Args:
        plugins: those that are loaded.
        settled: what they hear of.
        before: for each task the plugin that has refused it: only the plugins before that
            one are told. None: all are.

    Raises:
        LedgerError: a plugin has failed; what was written must be undone.
        django.db.Error: the database does not answer, or another transaction goes first.
    """
    told: dict[str, list[Settled]] = {}
    for one in settled:
        for name in one.task.needs:
            if before is not None and name == before[one.task.id]:
                break
            if name in plugins.settle:
                told.setdefault(name, []).append(one)
    for name, some in told.items():
        try:
            plugins.settle[name](settled=some)
        except (OperationalError, InterfaceError, LedgerError):
            raise
        except BaseException as error:
            # sys.exit in a plugin is not the end of recording
            raise LedgerError(
                f"the plugin {name!r} failed in qcore_settle: {type(error).__name__}:"
                f" {mask_url(str(error))}"
            ) from error
