"""The judge is right: it lets a good history pass, and sees what is wrong in others."""

from __future__ import annotations

import dataclasses

import pytest
from faults.judge import End, Fault, Final, History, Note, check_history, judge

SUCCESS = End(frozenset({"success"}))
REFUSED = End(frozenset({"failure"}), "cannot be stored")

#: Tasks in order, one of which was rescued after the fault at 2.5, while somebody puts two
#: entries into the queue by hand. The result of d was refused, and e killed its cluster.
GOOD = History(
    sent={"1" * 32: "a", "2" * 32: "b", "3" * 32: "c", "4" * 32: "d", "5" * 32: "e"},
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
        Note("d", "began", 12, 6.0),
        Note("d", "ended", 12, 6.1),
        Note("e", "began", 7, 0.1),
        Note("e", "began", 8, 0.3),
        Note("e", "began", 9, 0.5),
    ],
    finals=[
        Final("1" * 32, True, 1, pid=10, outcome="success"),
        Final("2" * 32, True, 2, crashes=1, pid=11, outcome="success"),
        Final("3" * 32, False, 2),
        Final("4" * 32, False, 1, outcome="failure", text="it cannot be stored"),
        Final("5" * 32, False, 2, crashes=1, outcome="crash"),
    ],
    ends={
        "1" * 32: SUCCESS,
        "2" * 32: SUCCESS,
        "4" * 32: REFUSED,
        "5" * 32: End(frozenset({"crash"})),
    },
    faults=[Fault(2.5, 2.6), Fault(0.15, 0.16), Fault(0.35, 0.36), Fault(0.4, 0.41)],
    killings={
        "e": [0.15, 0.35, 0.55]
    },  # one more than 2, for that at 0.4 was another's
    max_crashes=2,
    malformed=["m1", "m2"],
    quarantined=["m2", "m1", "m2"],
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
        pytest.param({"finals": GOOD.finals[1:]}, "has 0 final states", id="vanished"),
        pytest.param(
            {"finals": [*GOOD.finals, GOOD.finals[0]]},
            "has 2 final states",
            id="two ends",
        ),
        pytest.param(
            {"finals": [*GOOD.finals, Final("6" * 32, False, 1)]},
            "was never sent",
            id="from nowhere",
        ),
        pytest.param(
            note(Note("a", "began", 12, 2.2)), "nothing had failed", id="again"
        ),
        pytest.param(
            {"faults": GOOD.faults[1:]}, "b ran again", id="a rescue without a fault"
        ),
        pytest.param(
            {"faults": [Fault(3.1, 3.5), *GOOD.faults[1:]]},
            "b ran again",
            id="a fault that came later",
        ),
        pytest.param(
            {"faults": [Fault(1.5, 2.0), *GOOD.faults[1:]]},
            "b ran again",
            id="a fault that came before",
        ),
        pytest.param(
            {
                "notes": [
                    *(n for n in GOOD.notes if n.pid != 12 or n.key != "c"),
                    Note("c", "began", 12, 4.15),
                ]
            },
            "c ran again",
            id="beside a failure",
        ),
        pytest.param(final(2, success=True), "no run of it has ended", id="made up"),
        pytest.param(final(1, pid=10), "of a run that has not ended", id="stale"),
        pytest.param(
            {**final(1, success=False, pid=None), "ends": {"4" * 32: REFUSED}},
            "its last run has succeeded",
            id="a success that was lost",
        ),
        pytest.param(
            note(Note("f", "began", 12, 6.0)), "f ran and was never sent", id="uncalled"
        ),
        pytest.param(
            note(Note("a", "ended", 13, 2.05)), "more often than it began", id="one end"
        ),
        pytest.param(final(2, attempts=3), "had 3 attempts", id="too often"),
        pytest.param(final(1, crashes=3), "killed 3 workers", id="too deadly"),
        pytest.param(
            {"slots": [*GOOD.slots, (1, 120)]}, "fired 2 times", id="a slot twice"
        ),
        pytest.param(
            final(0, outcome="crash", text="no memory"),
            "ended as crash and not as success: 'no memory'",
            id="an innocent that was given up",
        ),
        pytest.param(final(0, pid="from the child"), "has not ended", id="a child"),
        pytest.param(
            final(3, success=True, outcome="success", text=""),
            "ended as success and not as failure",
            id="a refusal that nobody noticed",
        ),
        pytest.param(
            final(3, text="ValueError"), "does not say 'cannot", id="it does not say so"
        ),
        pytest.param(
            {"killings": {"e": [0.15, 0.35, 0.55, 0.56]}},
            "e killed 4 clusters",
            id="too deadly for clusters",
        ),
        pytest.param(
            {"quarantined": ["m2"]}, "m1 is not in quarantine", id="an entry vanished"
        ),
        pytest.param(
            {"quarantined": ["m1", "m2", "NoKey: b'ours'"]},
            "b'ours' is in quarantine, and nobody",
            id="quarantined and good",
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
