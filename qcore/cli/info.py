"""Show totals of all clusters and of what is stored; with --config, the settings.

Secrets in settings are masked; those that the project sets itself have a star.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any, TextIO

from .. import __version__
from .exits import OK, UNHEALTHY
from .output import add_json, write_json, write_lines

HELP = "show totals, settings or cluster ids"
SCHEMA = "qcore.info/1"

_HOURS = 24
_DAY = _HOURS * 3600


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of this verb."""
    add_json(parser)
    parser.add_argument(
        "--config", action="store_true", help="show every setting; secrets are masked"
    )
    parser.add_argument(
        "--ids", action="store_true", help="show the ids of the running clusters"
    )


def run(options: Namespace, out: TextIO) -> int:
    """Show what is asked for; 3 says that no cluster is running or one has a problem."""
    from ..monitor.look import Watcher
    from ..status import running

    if options.config:
        _show_config(options, out)
        return OK
    if options.ids:
        ids = [cluster.cluster for cluster in running()]
        if options.json:
            write_json(out, {"schema": SCHEMA, "ids": ids})
        else:
            write_lines(out, ids)
        return OK if ids else UNHEALTHY
    view = Watcher().look()
    document = {
        **view.as_dict(),
        "schema": SCHEMA,
        "version": __version__,
        "totals": _totals(view.running),
        "stored": _stored(),
    }
    if options.json:
        write_json(out, document)
    else:
        write_lines(out, render(document))
    return OK if view.healthy else UNHEALTHY


# -- settings -----------------------------------------------------------------------
def _show_config(options: Namespace, out: TextIO) -> None:
    from ..conf import fields
    from ..errors import ConfigError
    from ..runtime import current

    try:
        conf = current.conf
    except ConfigError:  # told on stderr, and here what would be right
        if not options.json:
            write_lines(out, _expectations())
        raise
    masked = conf.masked()
    own = conf.explicit
    table = [*fields(), *conf.declared]
    # these follow the work: the documented default is only what they begin with
    unset = {s.name: s.unset for s in table if s.unset and s.name not in own}
    if options.json:
        document = {"config": masked, "explicit": sorted(own), "unset": unset}
        write_json(out, {"schema": SCHEMA, **document})
        return
    groups = {setting.name: setting.group for setting in table}
    wide = max(map(len, masked))
    lines: list[str] = []
    before = None
    for name, value in masked.items():
        group = groups.get(name, "plugins")
        if group != before:
            lines += ["", group] if lines else [group]
            before = group
        star = "*" if name in own else " "
        note = f"  (unset: {unset[name]})" if name in unset else ""
        lines.append(f" {star} {name:<{wide}}  {value!r}{note}")
    write_lines(out, [*lines, "", " * set by the project"])


def _expectations() -> list[str]:
    """Return a line for each setting that says what it accepts."""
    from ..conf import fields
    from ..monitor.text import facts
    from ..runtime import current

    table = [*fields(), *current.registry.settings()]
    pairs = [(s.name, f"{s.expects}; default: {s.default_text}") for s in table]
    return ["every setting and what it accepts", "", *facts(pairs)]


# -- totals ---------------------------------------------------------------------------
def _totals(clusters: list[Any]) -> dict[str, int]:
    """Return the counters of all running clusters, added up."""
    names = ("succeeded", "failed", "crashed", "quarantined", "restarts")
    return {
        "clusters": len(clusters),
        "workers": sum(len(cluster.workers) for cluster in clusters),
        **{name: sum(getattr(cluster, name) for cluster in clusters) for name in names},
    }


def _stored() -> dict[str, Any]:
    """Return what is stored, by those whom the settings select; None: they cannot tell."""
    import datetime as dt

    from ..runtime import current

    store, scheduler = current.store(), current.scheduler
    everything = day = None
    if store.supports_counts:
        since = dt.datetime.now(dt.UTC) - dt.timedelta(hours=_HOURS)
        everything, day = store.count(), store.count(since)
    return {
        "succeeded": everything and everything.succeeded,
        "failed": everything and everything.failed,
        "schedules": scheduler.count() if scheduler.supports_counts else None,
        "quarantined": store.quarantined(),
        "last_24_hours": {
            "tasks": day and day.total,
            "per_second": day and day.total / _DAY,
            "average_seconds": day and day.average,
        },
    }


def render(document: dict[str, Any]) -> list[str]:
    """Return the document of ``--json`` as lines."""
    from ..monitor.look import absence
    from ..monitor.text import facts, number, paused, plural, rate

    totals, stored, queue = document["totals"], document["stored"], document["queue"]
    running = totals["clusters"] and (
        f"{plural(totals['clusters'], 'cluster')},"
        f" {plural(totals['workers'], 'worker')}, {plural(totals['restarts'], 'restart')}"
    )
    speed = sum(cluster["rate"] for cluster in document["clusters"])
    since_start = (
        f"{number(totals['succeeded'])} succeeded, {number(totals['failed'])} failed"
        f" ({number(totals['crashed'])} crashed), {rate(speed)} tasks/s"
    )
    pairs = [
        ("broker", document["broker"]),
        ("queue", _queue(queue)),
        *[
            ("paused", f"{pause['queue']}: {paused(pause, document['at'])}")
            for pause in document["paused"] or ()
        ],
        ("running", running or absence(document["status_route"])),
        *([("since start", since_start)] if totals["clusters"] else []),
        ("stored", _kept(stored)),
        (f"last {_HOURS} h", _lately(stored["last_24_hours"])),
    ]
    pairs += [
        (f"problem {c['cluster'][-8:]}", c["problem"])
        for c in document["clusters"]
        if c["problem"]
    ]
    heading = f"qcore {document['version']}, project {document['project']}"
    return [heading, *facts(pairs)]


def _kept(stored: dict[str, Any]) -> str:
    """Return what is stored; who cannot count is named instead of a number."""
    from ..monitor.text import number, plural

    parts = [
        f"{number(stored[name])} {name}"
        for name in ("succeeded", "failed", "quarantined")
        if stored[name] is not None
    ]
    if stored["succeeded"] is None:
        parts.insert(0, "the result store cannot count its results")
    if stored["quarantined"] is None:
        parts.append("quarantined packages are not counted")
    if stored["schedules"] is None:
        parts.append("the scheduler cannot count its schedules")
    else:
        parts.append(plural(stored["schedules"], "schedule"))
    return ", ".join(parts)


def _lately(day: dict[str, Any]) -> str:
    from ..monitor.text import number, seconds

    if day["tasks"] is None:
        return "the result store cannot count its results"
    return (
        f"{number(day['tasks'])} stored, {day['tasks'] / _HOURS:,.1f} per hour,"
        f" {seconds(day['average_seconds'])} on average"
    )


def _queue(queue: dict[str, Any]) -> str:
    from ..monitor.text import number, seconds

    parts = [
        f"{number(queue[state])} {state}"
        for state in ("waiting", "claimed")
        if queue[state] is not None
    ]
    if queue["oldest_seconds"] is not None:
        parts.append(f"the oldest for {seconds(queue['oldest_seconds'])}")
    return f"{queue['name']}: {', '.join(parts)}" if parts else queue["name"]
