"""What became of each kind of task, and how fast, as a table and as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..envelope import Outcome
from ..monitor.text import NOTHING, number, rate, seconds, table

SCHEMA = "qcore.demo/1"
OUTCOMES = (
    *(Outcome.SUCCESS, Outcome.FAILURE, Outcome.TIMEOUT, Outcome.CRASH),
    *(Outcome.DISCARDED, Outcome.CANCELLED, Outcome.EXPIRED),
)
#: Lines of a traceback that are shown: where it was raised, and what.
_SHOWN = 4
_HEADING = ("KIND", "SENT", "ENDED AS", "ATTEMPTS", "WAIT", "RUN", "AS MEANT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One kind of task."""

    kind: str
    sent: int
    outcomes: dict[str, int]  # by outcome; every one of them is there
    attempts: int | None  # the most that one of them has had; None: none has ended
    wait: float | None  # median seconds from being sent to being started
    run: float | None  # median seconds of running, of the last attempt
    complaint: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The whole demo."""

    lines: list[Line]
    sending: float  # fast tasks per second, by one process
    working: float  # fast tasks per second, from the first start to the last end
    seconds: float
    workers: int
    traceback: list[str] = field(default_factory=list)  # of one that failed
    dead: list[str] = field(default_factory=list)  # what `qcore dead` shows

    @property
    def ok(self) -> bool:
        """Whether every task has ended as it should."""
        return all(line.complaint is None for line in self.lines)

    def as_dict(self) -> dict[str, Any]:
        """Return it in the types of JSON."""
        kinds = [
            {
                "kind": line.kind,
                "sent": line.sent,
                **line.outcomes,
                "attempts": line.attempts,
                "wait_seconds": line.wait,
                "run_seconds": line.run,
                "complaint": line.complaint,
            }
            for line in self.lines
        ]
        return {
            "schema": SCHEMA,
            "ok": self.ok,
            "seconds": self.seconds,
            "workers": self.workers,
            "sent_per_second": self.sending,
            "done_per_second": self.working,
            "kinds": kinds,
            "traceback": self.traceback,
        }

    def render(self) -> list[str]:
        """Return it as lines of text."""
        rows = [_HEADING, *(_row(line) for line in self.lines)]
        head = [
            *table(rows, right={1, 3, 4, 5}, indent=""),
            "",
            "WAIT and RUN are medians: from being sent to being started, and from there.",
        ]
        if self.traceback:
            shown = [f"  {line}" for line in self.traceback[-_SHOWN:]]
            head += ["", "The traceback of one that failed ends with:", *shown]
        if self.dead:
            shown = [f"  {line}".rstrip() for line in self.dead]
            head += ["", "qcore dead, which sends these again, too:", *shown]
        speed = (
            f"Sent {rate(self.sending)} tasks/s from one process; {self.workers} workers"
            f" ran {rate(self.working)} fast tasks/s, every result stored."
        )
        verdict = "All as expected" if self.ok else "Not as expected"
        end = f"{verdict}, in {seconds(self.seconds)}. Nothing is left running."
        return [*head, "", speed, end]


def _row(line: Line) -> tuple[str, ...]:
    return (
        line.kind,
        number(line.sent),
        _ends(line),
        number(line.attempts),
        seconds(line.wait),
        seconds(line.run),
        line.complaint or "yes",
    )


def _ends(line: Line) -> str:
    """Return the outcome of all; where there are several, each with its number."""
    ends = {outcome: count for outcome, count in line.outcomes.items() if count}
    if list(ends.values()) == [line.sent]:
        return next(iter(ends))
    return ", ".join(f"{number(n)} {outcome}" for outcome, n in ends.items()) or NOTHING
