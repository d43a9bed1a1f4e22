"""The states of a job, drawn from the table of transitions."""

from __future__ import annotations

from qcore.engine.dispatcher.lifecycle import EXITS, OWNERS, TRANSITIONS, JobState

_MEANS = {
    JobState.CLAIMED: "the pusher has it, from the broker",
    JobState.READY: "it waits for a worker",
    JobState.PREFETCHED: "its order lies in the prefetch queue of a busy worker",
    JobState.RUNNING: "a worker does it, as far as is known",
    JobState.ENDED: "its result waits to be stored",
    JobState.STORED: "its result is stored, and its delivery waits to be settled",
    JobState.RETURNING: "its delivery waits to be given back",
    JobState.SETTLED: "its delivery is acknowledged",
    JobState.RELEASED: "its delivery is given back to the broker",
    JobState.LEFT: "its delivery is left to its lease: the broker delivers the task again",
    JobState.LOST: "its lease has ended: somebody else may have the delivery",
}


def diagram() -> str:
    """Return the diagram of all transitions, for Mermaid."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> claimed"]
    lines += [f"    {one.source} --> {one.target}: {one.why}" for one in TRANSITIONS]
    lines += [f"    {state} --> [*]" for state in JobState if state in EXITS]
    return "\n".join([*lines, "```"])


def table() -> str:
    """Return what each state means, and who makes the transitions into it."""
    lines = [
        "| state | the job | transitions into it are made in |",
        "| --- | --- | --- |",
    ]
    for state in JobState:
        owner = f"`dispatcher/{OWNERS[state]}.py`" if state in OWNERS else "-"
        lines.append(f"| `{state}` | {_MEANS[state]} | {owner} |")
    return "\n".join(lines)
