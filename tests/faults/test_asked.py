"""The judge sees what was asked of a task and not done."""

from __future__ import annotations

import dataclasses

import pytest
from faults.asked import Asked, Policy
from faults.judge import Fault, Final, History, Note, check_history, judge

RETRIED, CANCELLED, STOPPED, DELAYED, DRAWN = (str(n) * 32 for n in range(1, 6))

#: One task that is retried twice, one that was cancelled while it waited, one in its run,
#: and two that were to begin later, the last one in a pause of the queue.
GOOD = History(
    sent={
        RETRIED: "retried", CANCELLED: "cancelled", STOPPED: "stopped",
        DELAYED: "delayed", DRAWN: "drawn",
    },
    notes=[
        Note("retried", "began", 10, 1.0),
        Note("retried", "failed", 10, 1.1),
        Note("retried", "began", 10, 1.7),
        Note("retried", "failed", 10, 1.8),
        Note("retried", "began", 12, 2.8),
        Note("retried", "ended", 12, 2.9),
        Note("stopped", "began", 11, 3.0),
        Note("stopped", "failed", 11, 4.2),
        Note("delayed", "began", 11, 13.1),
        Note("delayed", "ended", 11, 13.2),
        Note("drawn", "began", 11, 31.0),
        Note("drawn", "ended", 11, 31.1),
    ],
    finals=[
        Final(RETRIED, True, 3, outcome="success"),
        Final(CANCELLED, False, 1, outcome="cancelled"),
        Final(STOPPED, False, 1, outcome="cancelled"),
        Final(DELAYED, True, 1, outcome="success"),
        Final(DRAWN, True, 1, outcome="success"),
    ],
    asked=Asked(
        sent={"retried": 0.9, "delayed": 4.0, "drawn": 22.0},
        due={"delayed": 13.0},
        policies={"retried": Policy(3, 3, 0.5)},
        cancelled={"cancelled": 2.0, "stopped": 4.0},
        pauses=[(20.0, 30.0)],
        ended={"retried": 2.9},
        tickets={"retried": "success"},
        patience=2.0,
    ),
)  # fmt: skip


def without(key, *more):
    return {"notes": [*(note for note in GOOD.notes if note.key != key), *more]}


def asked(**changes):
    return {"asked": dataclasses.replace(GOOD.asked, **changes)}


def final(at, **changes):
    finals = list(GOOD.finals)
    finals[at] = finals[at]._replace(**changes)
    return {"finals": finals}


def test_what_was_done_passes():
    check_history(GOOD)


BEGUN = Note("cancelled", "began", 12, 4.5)
FORGED = [
    pytest.param(asked(due={"delayed": 13.3}), "delayed began 0.20 s", id="too early"),
    pytest.param(
        asked(policies={"retried": Policy(2, 3, 0.5)}), "3 times and not 2", id="runs"
    ),
    pytest.param(final(0, attempts=2), "had 2 attempts and not 3", id="attempts"),
    pytest.param(
        asked(policies={"retried": Policy(3, 3, 0.7)}),
        "came again after 0.60 s and not 0.7",
        id="no pause between them",
    ),
    pytest.param(
        {"notes": [*GOOD.notes, BEGUN, Note("cancelled", "failed", 12, 4.6)]},
        "cancelled began 2.50 s after it was cancelled",
        id="begun all the same",
    ),
    pytest.param(
        without(
            "stopped",
            Note("stopped", "began", 11, 3.0),
            Note("stopped", "ended", 11, 9.0),
        )
        | final(2, success=True, outcome="success"),
        "stopped ended by itself 5.00 s after",
        id="not reached",
    ),
    pytest.param(
        final(1, outcome="failure"),
        "has not run and ended as failure",
        id="another end",
    ),
    pytest.param(
        without(
            "drawn", Note("drawn", "began", 11, 25.0), Note("drawn", "ended", 11, 25.1)
        ),
        "drawn began 5.00 s after its queue was paused",
        id="begun in a pause",
    ),
    pytest.param(
        asked(tickets={"retried": None}), "the ticket of retried says None", id="ticket"
    ),
]


@pytest.mark.parametrize(("forged", "complaint"), FORGED)
def test_what_was_not_done_is_seen(forged, complaint):
    history = dataclasses.replace(GOOD, **forged)
    complaints = list(judge(history))
    assert len(complaints) == 1, complaints
    assert complaint in complaints[0]


@pytest.mark.parametrize(
    ("forged", "fault"),
    [
        pytest.param(
            asked(policies={"retried": Policy(2, 1, 9)}), Fault(0.5, 3.0), id="policy"
        ),
        pytest.param(
            {"notes": [*GOOD.notes, BEGUN, Note("cancelled", "failed", 12, 4.6)]},
            Fault(3.0, 3.5, "database"),
            id="cancel",
        ),
        pytest.param(
            without(
                "drawn",
                Note("drawn", "began", 11, 25.0),
                Note("drawn", "ended", 11, 25.1),
            ),
            Fault(24.0, 24.5, "freeze"),
            id="pause",
        ),
    ],
)
def test_what_a_fault_explains_is_no_complaint(forged, fault):
    check_history(dataclasses.replace(GOOD, **forged, faults=[fault]))


def test_no_fault_excuses_a_beginning_before_its_time():
    forged = dataclasses.replace(
        GOOD, **asked(due={"delayed": 14.0}), faults=[Fault(0.0, 99.0, "database")]
    )
    assert [one for one in judge(forged) if one.startswith("delay: delayed began")]


def test_a_kill_excuses_no_run_in_a_pause():
    """A cluster that starts looks first whether its queue is paused."""
    forged = without(
        "drawn", Note("drawn", "began", 11, 25.0), Note("drawn", "ended", 11, 25.1)
    )
    history = dataclasses.replace(
        GOOD, **forged, faults=[Fault(23.0, 25.0, "dispatcher")]
    )
    assert len(list(judge(history))) == 1
