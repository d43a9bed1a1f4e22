"""What the settings select, and what the system checks say of them."""

from __future__ import annotations

from collections.abc import Iterator

from django.core import checks

from ..checks import TAG
from ..findings import Finding, error, ok, warning
from ..plugins import BUILTIN
from ..runtime import ONE_OF, current


def settings() -> Iterator[Finding]:
    """Yield what Django's checks with the tag qcore say."""
    found = checks.run_checks(tags=[TAG])
    told = [message for message in found if not message.is_silenced()]
    for message in sorted(told, key=lambda message: -message.level):
        fact = f"{message.msg} ({message.id})"
        advice = message.hint or "See the message."
        if message.is_serious():
            yield error(fact, advice)
        elif message.level >= checks.WARNING:
            yield warning(fact, advice)
        else:
            yield ok(fact)
    if not told:
        yield ok("Q_CLUSTER is right")


def plugins() -> Iterator[Finding]:
    """Yield which broker, cache, scheduler, store, reporters and plugins are in use.

    Raises:
        PluginError, ConfigError: the settings select what is not there.
    """
    conf, registry = current.conf, current.registry
    for kind in ONE_OF:
        choice = current.choice(kind)
        chosen = choice.load()
        yield ok(
            f"the {kind} is {choice.name} ({chosen.__module__}.{chosen.__qualname__})"
        )
    for reporter in conf.error_reporter:
        registry.load("error reporter", reporter)
    reporters = ", ".join(conf.error_reporter) or "none but the log"
    yield ok(f"error reporters: {reporters}")
    others = sorted({p.label for p in registry.plugins if p.module != BUILTIN})
    yield ok(f"plugins: {', '.join(others) or 'none but what comes with qcore'}")
