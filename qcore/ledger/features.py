"""Features: asks plugins about the tasks that need them, in transactions of the ledger."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.utils import InterfaceError, OperationalError

from ..envelope import Outcome
from ..errors import LedgerError, PluginBroken
from ..features import RUN, Admission, Claim, Drop
from ..masking import mask_url

if TYPE_CHECKING:
    from ..envelope import Task
    from ..plugins.features import FeaturePlugins
    from ..runtime import LedgerPlace
    from ..settled import Settled

logger = logging.getLogger("qcore.features")

#: The outcomes with which a plugin may end a task that never runs.
_DROPPED = frozenset(Outcome) - {Outcome.SUCCESS, Outcome.STOPPED}


class Features:
    """The plugins that tasks may need, for one thread.

    Args:
        plugins: those that are loaded.
        ledger: of this thread; None: there is none.
    """

    def __init__(self, plugins: FeaturePlugins, ledger: LedgerPlace | None) -> None:
        self._plugins = plugins
        self._ledger = ledger

    def lacking(self, task: Task) -> str | None:
        """Return the name of a plugin that a task needs and this cluster lacks."""
        for name in task.needs:
            if name not in self._plugins.names:
                return name
        return None

    def admit(self, claims: Sequence[Claim]) -> list[Admission]:
        """Return for each claim whether its task may run; all in one transaction.

        Raises:
            LedgerError: the ledger is away; nothing is decided.
            PluginBroken: a plugin has answered what is no answer; nothing is decided.
            Exception: what a plugin has raised; nothing is decided.
        """
        ledger = self._ledger
        if ledger is None:
            raise LedgerError("no database has the tables of the ledger")
        try:
            if not ledger.is_ready:
                raise LedgerError(
                    f"the database {ledger.database!r} lacks the tables of the ledger."
                    " Run: manage.py migrate"
                )
            return ledger.run(lambda: self._admit(claims))
        except (OperationalError, InterfaceError) as error:
            connections[ledger.database].close_if_unusable_or_obsolete()
            raise LedgerError(
                f"the ledger in database {ledger.database!r} does not answer:"
                f" {type(error).__name__}: {mask_url(str(error))}"
            ) from error

    def _admit(self, claims: Sequence[Claim]) -> list[Admission]:
        """Ask the first plugin of each task, then the second, and so on."""
        answers: list[Admission] = [RUN] * len(claims)
        place = 0
        while True:
            asked: dict[str, list[int]] = {}
            for number, claim in enumerate(claims):
                needs = claim.task.needs
                if place < len(needs) and answers[number] is RUN:
                    asked.setdefault(needs[place], []).append(number)
            if not asked:
                return answers
            for name, numbers in asked.items():
                hook = self._plugins.admit.get(name)
                if hook is None:
                    continue  # it has nothing to say at the claim
                found = _answers(name, hook, [claims[number] for number in numbers])
                for number, answer in zip(numbers, found, strict=True):
                    answers[number] = answer
            place += 1

    def close(self) -> None:
        """Close the connection of this thread."""
        if self._ledger is not None:
            connections[self._ledger.database].close()


def tell(plugins: FeaturePlugins, settled: Sequence[Settled]) -> None:
    """Tell plugins what has become of tasks that need them, in the transaction that is open.

    Raises:
        LedgerError: a plugin has failed; what was written must be undone.
        django.db.Error: the database does not answer, or another transaction goes first.
    """
    told: dict[str, list[Settled]] = {}
    for one in settled:
        for name in one.task.needs:
            if name in plugins.settle:
                told.setdefault(name, []).append(one)
    for name, some in told.items():
        try:
            plugins.settle[name](settled=some)
        except (OperationalError, InterfaceError):
            raise
        except BaseException as error:
            # sys.exit in a plugin is not the end of recording
            raise LedgerError(
                f"the plugin {name!r} failed in qcore_settle: {type(error).__name__}:"
                f" {mask_url(str(error))}"
            ) from error


def _answers(
    name: str, hook: Callable[..., Any], claims: Sequence[Claim]
) -> list[Admission]:
    """Return the answers of one plugin.

    Raises:
        PluginBroken: they are no answers to these claims.
    """
    found: Any = hook(claims=claims)
    where = f"the plugin {name!r}: qcore_admit()"
    if not isinstance(found, (list, tuple)) or len(found) != len(claims):
        raise PluginBroken(
            f"{where} must return a list with one answer for each of {len(claims)} claims,"
            f" got {_sized(found)}"
        )
    for answer in found:
        if isinstance(answer, Drop):
            if answer.outcome not in _DROPPED:
                raise PluginBroken(
                    f"{where}: a task cannot be dropped with the outcome"
                    f" {answer.outcome!r}; expected one of {', '.join(sorted(_DROPPED))}"
                )
        elif answer is not RUN:
            raise PluginBroken(
                f"{where}: an answer must be qcore.RUN or a qcore.Drop, got {answer!r}"
            )
    return list(found)


def _sized(found: object) -> str:
    kind = type(found).__name__
    return (
        f"a {kind} of {len(found)}" if isinstance(found, (list, tuple)) else f"{kind}"
    )
