"""Show durable tasks and what one of them has done, or let a failed one go on.

Without an id the newest runs are listed. With the id of a durable task, its run is shown
with its timeline: each step with when it began, how long it took, and what it waits for.
With --resume, a task that has failed is sent again as a new task, which goes on after the
last stored step.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any, TextIO

from qcore.cli.exits import OK, UNHEALTHY
from qcore.cli.output import add_json, iso, write_json, write_lines
from qcore.errors import ConfigError, did_you_mean, sentence
from qcore.monitor.text import table

from .verb import FEW, require_tables, short

if TYPE_CHECKING:
    from .steps.status import RunStatus, StepStatus

HELP = "show durable tasks and their timelines"
SCHEMA = "qcore.runs/1"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument(
        "id",
        metavar="ID",
        nargs="?",
        help="id of a durable task: 32 hexadecimal digits",
    )
    parser.add_argument(
        "--state",
        action="append",
        default=[],
        metavar="STATE",
        help="only runs in this state, such as running, waiting, suspended,"
        " 'needs version', success or failure; several may be given",
    )
    parser.add_argument(
        "--limit",
        type=int,
        default=FEW,
        metavar="N",
        help=f"runs, or steps of the timeline, that are shown (default: {FEW})",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="send the task again, which has failed; it goes on after its last stored step",
    )
    parser.add_argument(
        "--from",
        dest="from_step",
        metavar="STEP",
        help="with --resume: do this stored step again, and what began after it",
    )
    add_json(parser)


def run(options: Namespace, out: TextIO) -> int:
    """Show or do it; 3 says that there is no such run."""
    require_tables("qcore runs")
    if options.limit < 1:
        raise ConfigError(f"--limit is {options.limit}, expected 1 or more.")
    if options.from_step is not None and not options.resume:
        raise ConfigError("--from needs --resume, which sends the task again.")
    if options.id is None:
        if options.resume:
            raise ConfigError(
                "--resume needs the ID of a durable task. `qcore runs` lists them."
            )
        document = listing(options.limit, options.state)
    else:
        if options.state:
            raise ConfigError("--state chooses among runs: leave it out, or the ID.")
        document = look(options)
    if options.json:
        write_json(out, document)
    else:
        write_lines(out, render(document, options.id))
    return UNHEALTHY if options.id is not None and not document["runs"] else OK


def listing(limit: int, states: list[str]) -> dict[str, Any]:
    """Return the newest runs, of the schema ``qcore.runs/1``.

    Raises:
        ConfigError: a state is none.
    """
    from .steps.status import STATES, list_runs

    for state in states:
        if state not in STATES:
            near = did_you_mean(state, STATES)
            expected = f"expected one of: {', '.join(STATES)}{near}"
            raise ConfigError(sentence(f"--state is {state!r}, {expected}"))
    return _document([_of_run(one) for one in list_runs(limit, states)], None)


def look(options: Namespace) -> dict[str, Any]:
    """Return one run with its timeline, after what is to be done to it.

    Raises:
        ConfigError: the id is none.
        CallError: the run cannot be resumed.
    """
    from .option import is_id
    from .steps.resuming import resume
    from .steps.status import find, timeline

    task_id: str = options.id
    if not is_id(task_id):
        raise ConfigError(
            f"{task_id!r} is no id of a task: expected 32 hexadecimal digits in lower case."
        )
    found = find(task_id)
    if found is None:
        return _document([], None)
    resumed = resume(task_id, from_step=options.from_step) if options.resume else None
    steps = [_of_step(one) for one in islice(timeline(task_id), options.limit)]
    return _document([_of_run(found)], steps, resumed)


def _document(
    runs: list[dict[str, Any]],
    timeline: list[dict[str, Any]] | None,
    resumed: str | None = None,
) -> dict[str, Any]:
    return {"schema": SCHEMA, "runs": runs, "timeline": timeline, "resumed": resumed}


def _of_run(one: RunStatus) -> dict[str, Any]:
    moments = {word: iso(getattr(one, word)) for word in ("due", "created", "ended")}
    return {**asdict(one), **moments}


def _of_step(one: StepStatus) -> dict[str, Any]:
    moments = {word: iso(getattr(one, word)) for word in ("began", "done", "due")}
    seconds = None if one.seconds is None else round(one.seconds, 3)
    return {**asdict(one), **moments, "seconds": seconds}


# -- for people ------------------------------------------------------------------------------
def render(document: dict[str, Any], id: str | None) -> list[str]:
    """Return what people see of a document."""
    runs = document["runs"]
    if id is not None:
        if not runs:
            return [f"{id}: there is no run of such a task, or it was pruned."]
        if document["resumed"] is not None:
            return [f"{id} is sent again as {document['resumed']}."]
        return list(_one(runs[0], document["timeline"]))
    if not runs:
        return ["No durable task has begun, or all were pruned."]
    return table([_HEADINGS, *map(_row, runs)], right=(2, 3), indent="")


_HEADINGS = ("ID", "STATE", "STEPS", "STARTS", "CREATED", "WAITS FOR", "FUNCTION")


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    return (
        *(one["task_id"], one["state"], f"{one['steps']:,}", f"{one['starts']:,}"),
        *(short(one["created"]), one["waits_for"] or "-", one["func"]),
    )


def _one(run: dict[str, Any], steps: list[dict[str, Any]]) -> Iterator[str]:
    yield f"{run['task_id']}  {run['func']}  version {run['version']}"
    yield f"  state      {run['state']}"
    if run["waits_for"]:
        until = f", until {short(run['due'])}" if run["due"] else ""
        yield f"  waits for  {run['waits_for']}{until}"
    yield f"  starts     {run['starts']:,}"
    yield f"  created    {short(run['created'])}"
    if run["ended"] is not None:
        yield f"  ended      {short(run['ended'])}"
    yield f"  steps      {run['steps']:,}"
    if not steps:
        return
    yield ""
    rows = [
        (
            *(
                short(one["began"]),
                "-" if one["done"] is None else _took(one["seconds"]),
            ),
            *(one["kind"], one["state"], one["name"], one["task_id"] or ""),
        )
        for one in steps
    ]
    headings = ("BEGAN", "TOOK", "KIND", "STATE", "NAME", "TASK")
    yield from table([headings, *rows], right=(1,), indent="  ")
    if left := run["steps"] - len(steps):
        yield f"  {left:,} more: --limit {run['steps']}"


def _took(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.3f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:,.1f} h"
