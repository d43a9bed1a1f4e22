"""The judge is right: it lets a good history pass, and sees what is wrong in others."""

from __future__ import annotations

import dataclasses

import pytest
from faults.judge import Fault, Final, History, Note, check_history, judge

#: Two tasks in order, one of which was rescued after the fault at 2.5.
GOOD = History(
    sent={"1" * 32: "a", "2" * 32: "b", "3" * 32: "c"},
    notes=[
        Note("a", "began", 10, 1.0),
        Note("a", "ended", 10, 2.0),
        Note("b", "began", 10, 2.1),
        Note("b", "began", 11, 3.0),
        Note("b", "ended", 11, 4.0),
        Note("c", "began", 11, 4.1),
        Note("c", "failed", 11, 4.2),
        Note("c", "began", 12, 5.0),
        Note("c", "failed", 12, 5.1),
    ],
    finals=[
        Final("1" * 32, True, 1, pid=10),
        Final("2" * 32, True, 2, crashes=1, pid=11),
        Final("3" * 32, False, 2),
    ],
    faults=[Fault(2.5, 2.6)],
    slots=[(1, 60), (1, 120), (2, 60)],
    max_attempts=2,
    order=["a", "b", "c"],
)


def note(*more):
    return {"notes": [*GOOD.notes, *more]}


def final(at, **changes):
    finals = list(GOOD.finals)
    finals[at] = finals[at]._replace(**changes)
    return {"finals": finals}


def test_a_good_history_passes():
    check_history(GOOD)


@pytest.mark.parametrize(
    ("forged", "complaint"),
    [
        pytest.param({"finals": GOOD.finals[:2]}, "has 0 final states", id="vanished"),
        pytest.param(
            {"finals": [*GOOD.finals, GOOD.finals[0]]},
            "has 2 final states",
            id="two ends",
        ),
        pytest.param(
            {"finals": [*GOOD.finals, Final("4" * 32, False, 1)]},
            "was never sent",
            id="from nowhere",
        ),
        pytest.param(
            note(Note("a", "began", 12, 2.2)), "nothing had failed", id="again"
        ),
        pytest.param({"faults": []}, "b ran again", id="a rescue without a fault"),
        pytest.param(
            {"faults": [Fault(3.1, 3.5)]}, "b ran again", id="a fault that came later"
        ),
        pytest.param(
            {"faults": [Fault(1.5, 2.0)]}, "b ran again", id="a fault that came before"
        ),
        pytest.param(
            {"notes": [*GOOD.notes[:-2], Note("c", "began", 12, 4.15)]},
            "c ran again",
            id="beside a failure",
        ),
        pytest.param(final(2, success=True), "no run of it has ended", id="made up"),
        pytest.param(final(1, pid=10), "of a run that has not ended", id="stale"),
        pytest.param(
            final(1, success=False, pid=None),
            "its last run has succeeded",
            id="a success that was lost",
        ),
        pytest.param(
            note(Note("d", "began", 12, 6.0)), "d ran and was never sent", id="uncalled"
        ),
        pytest.param(
            note(Note("a", "ended", 13, 2.05)), "more often than it began", id="one end"
        ),
        pytest.param(final(2, attempts=3), "had 3 attempts", id="too often"),
        pytest.param(final(1, crashes=4), "killed 4 workers", id="too deadly"),
        pytest.param(
            {"slots": [*GOOD.slots, (1, 120)]}, "fired 2 times", id="a slot twice"
        ),
        pytest.param({"claimed": 1}, "still claimed", id="a lease left"),
        pytest.param({"waiting": 2}, "2 packages still wait", id="a package left"),
        pytest.param({"survivors": [77]}, "processes are left", id="an orphan"),
        pytest.param({"order": ["b", "a"]}, "a began before b", id="out of order"),
    ],
)
def test_a_forged_history_is_seen_through(forged, complaint):
    history = dataclasses.replace(GOOD, **forged)
    complaints = list(judge(history))
    assert len(complaints) == 1, complaints
    assert complaint in complaints[0]
    with pytest.raises(AssertionError, match="1 promises are broken"):
        check_history(history)
