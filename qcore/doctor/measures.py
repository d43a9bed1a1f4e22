"""Round trips and clocks, measured and judged."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from ..findings import Finding, ok, warning
from ..monitor.text import seconds

#: Calls that a round trip is the median of; the first, which connects, is not counted.
CALLS = 5
#: Seconds of a round trip above which one worker runs fewer than ten tasks a second.
SLOW = 0.05
#: Seconds of a round trip below which there is nothing to tell: it is in the process.
QUICK = 0.0001
#: Seconds by which clocks may differ: schedules are fired within a second.
SKEW = 1.0

_TIME = "Keep both on the time of the network: timedatectl set-ntp true"


def round_trip(call: Callable[[], object]) -> float:
    """Return the seconds that a call takes, connections made."""
    call()
    taken = []
    for _ in range(CALLS):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def judge_round_trip(what: str, taken: float) -> Finding:
    """Return the finding on the seconds of a round trip."""
    if taken <= SLOW:
        shown = seconds(taken) if taken >= QUICK else f"less than {seconds(QUICK)}"
        return ok(f"{what} answers in {shown}")
    return warning(
        f"{what} answers in {seconds(taken)}: every task waits for it several times",
        "Run clusters near to it, or see what keeps it busy.",
    )


def judge_clock(what: str, read: Callable[[], float | None]) -> list[Finding]:
    """Return the finding on a clock; nothing where there is none to read."""
    before = time.time()
    theirs = read()
    after = time.time()
    if theirs is None:
        return []
    # read at some moment of the call, so less precisely than the call took
    ahead = theirs - (before + after) / 2
    if abs(ahead) <= SKEW + (after - before):
        return [ok(f"the clock of {what} agrees with ours")]
    return [skewed(what, ahead)]


def skewed(what: str, ahead: float) -> Finding:
    """Return the warning that a clock is ``ahead`` seconds before ours, or behind."""
    direction = "ahead of" if ahead > 0 else "behind"
    return warning(
        f"the clock of {what} is {seconds(abs(ahead))} {direction} ours: schedules fire"
        " early or late, and times in the admin are wrong",
        _TIME,
    )
