"""Whether a drain is as fast when much is waiting, or much has been stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from machine import Watch

from .base import Figure, Figures, Measurement, Plan, rounded
from .rates import FOREIGN

if TYPE_CHECKING:
    from run import Run

#: Tasks of a shallow queue.
_SHALLOW = 1000
#: Tasks that are drained where results are in the way.
_DRAINED = 3000


def _waiting(run: Run, plan: Plan) -> Figures:
    """Drain a shallow queue, then a deep one without and with statistics of it."""
    watch = Watch()
    found: Figures = {
        "shallow": _full(run, plan, _SHALLOW),
        "deep": _full(run, plan, plan.depth),
    }
    if run.store.name == "postgres":
        found["analyzed"] = _full(run, plan, plan.depth, analyze=True)
    return _shares(found, watch)


def _full(run: Run, plan: Plan, tasks: int, *, analyze: bool = False) -> float:
    """Return the rate with so many tasks waiting.

    A queue in a database is filled once, and copied from then on.
    """
    if run.store.redis:
        run.fresh()
        run.ask("fill", kind="noop", count=tasks)
    else:
        words = {"kind": "noop", "count": tasks}
        run.fresh(_template(run, "fill", words, analyze=analyze))
    return _rate(run, plan, tasks)


def _results(run: Run, plan: Plan) -> Figures:
    """Drain a queue with no results, then with many, without and with statistics."""
    watch = Watch()
    found: Figures = {"shallow": _beside(run, plan, None)}
    words = {"count": plan.depth}
    found["deep"] = _beside(run, plan, _template(run, "fill_results", words))
    if run.store.postgres is not None:
        full = _template(run, "fill_results", words, analyze=True)
        found["analyzed"] = _beside(run, plan, full)
    return _shares(found, watch)


def _beside(run: Run, plan: Plan, template: str | None) -> float:
    """Return the rate in a database that holds results."""
    run.fresh(template)
    run.ask("fill", kind="noop", count=_DRAINED)
    return _rate(run, plan, _DRAINED)


def _rate(run: Run, plan: Plan, tasks: int) -> float:
    """Return the tasks per second of a drain, or of its first seconds."""
    run.start(plan.workers)
    run.wait_started()
    run.wait_for(tasks, plan.seconds)
    run.stop(grace=0.5)
    records = run.ended()
    first, last = min(r.start for r in records), max(r.end for r in records)
    return (len(records) - 1) / (last - first)


def _template(
    run: Run, action: str, words: dict[str, Any], *, analyze: bool = False
) -> str:
    """Return a database that a producer has filled, made once."""
    template = f"{run.contender.label}_{action}{words['count']}"
    source = run.template()
    if analyze:
        source = _template(run, action, words)
        template += "_analyzed"
    made = run.store.folder / f"{template}.made"
    if not made.exists():
        run.store.create(template, source)
        if analyze:
            run.store.analyze(template)
        else:
            run.ask(action, database=template, **words)
        made.touch()
    return template


def _shares(found: Figures, watch: Watch) -> Figures:
    base = found["shallow"] or 0.0
    shares: Figures = {
        f"{key}_share": 100 * rate / base
        for key, rate in found.items()
        if key != "shallow" and rate is not None and base
    }
    return rounded({**found, **shares, "foreign": watch.foreign()})


def _figures(much: str) -> tuple[Figure, ...]:
    return (
        Figure("shallow", "tasks/s without", compared=True),
        Figure("deep", f"tasks/s with {much}", compared=True),
        Figure("analyzed", "tasks/s with them and statistics", compared=True),
        Figure("deep_share", "% of that without"),
        Figure("analyzed_share", "% of that without"),
        FOREIGN,
    )


WAITING = Measurement(
    "waiting",
    "drain with 1000 and with --depth tasks waiting, statistics fresh or none",
    _figures("many waiting"),
    _waiting,
)
RESULTS = Measurement(
    "results",
    "drain with none and with --depth results stored, statistics fresh or none",
    _figures("many results"),
    _results,
    lambda contender: contender.has_filler,
)
