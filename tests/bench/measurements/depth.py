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
    """Drain a shallow queue, then a deep one without and with statistics of it.

    A shallow queue is empty before all workers are warm. So it is compared with the
    first tasks of a deep one, as many, and the later ones of that with its earlier ones.
    """
    watch = Watch()
    ends = _full(run, plan, plan.depth)
    found: Figures = {
        "shallow": _speed(_full(run, plan, _SHALLOW)),
        "deep": _speed(ends[:_SHALLOW]),
    }
    if run.store.name == "postgres":
        analyzed = _full(run, plan, plan.depth, analyze=True)
        found["analyzed"] = _speed(analyzed[:_SHALLOW])
    third = len(ends) // 3
    late = 100 * _speed(ends[-third:]) / _speed(ends[third : 2 * third])
    return _shares(found, watch) | rounded({"late_share": late, "drained": len(ends)})


def _full(run: Run, plan: Plan, tasks: int, *, analyze: bool = False) -> list[float]:
    """Drain with so many tasks waiting, and return when each task ended.

    A queue in a database is filled once, and copied from then on.
    """
    if run.store.redis:
        run.fresh()
        run.ask("fill", kind="noop", count=tasks)
    else:
        words = {"kind": "noop", "count": tasks}
        run.fresh(filled(run, "fill", words, analyze=analyze))
    return _drained(run, plan, tasks)


def _results(run: Run, plan: Plan) -> Figures:
    """Drain a queue with no results, then with many, without and with statistics."""
    watch = Watch()
    found: Figures = {"shallow": _beside(run, plan, None)}
    words = {"count": plan.depth}
    found["deep"] = _beside(run, plan, filled(run, "fill_results", words))
    if run.store.postgres is not None:
        full = filled(run, "fill_results", words, analyze=True)
        found["analyzed"] = _beside(run, plan, full)
    return _shares(found, watch)


def _beside(run: Run, plan: Plan, template: str | None) -> float:
    """Return the rate in a database that holds results."""
    run.fresh(template)
    run.ask("fill", kind="noop", count=_DRAINED)
    return _speed(_drained(run, plan, _DRAINED))


def _drained(run: Run, plan: Plan, tasks: int) -> list[float]:
    """Drain for some seconds at most, and return when each task ended, in order."""
    run.start(plan.workers)
    run.wait_started()
    run.wait_for(tasks, plan.seconds)
    run.stop(grace=0.5)
    return sorted(record.end for record in run.ended())


def _speed(ends: list[float]) -> float:
    """Return the tasks per second of tasks that ended then."""
    return (len(ends) - 1) / (ends[-1] - ends[0])


def filled(
    run: Run, action: str, words: dict[str, Any], *, analyze: bool = False
) -> str:
    """Return a database that a producer has filled, made once."""
    template = f"{run.contender.label}_{action}{words['count']}"
    source = run.template()
    if analyze:
        source = filled(run, action, words)
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
    (
        *_figures("many waiting"),
        Figure("late_share", "%, last third of a deep drain of its middle one"),
        Figure("drained", "tasks"),
    ),
    _waiting,
)
RESULTS = Measurement(
    "results",
    "drain with none and with --depth results stored, statistics fresh or none",
    _figures("many results"),
    _results,
    lambda contender: contender.has_filler,
)
