"""Every section in turn; one that fails is a finding and does not end the rest."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator

from django.db import Error

from ..cli.project import explain
from ..errors import BrokerUnavailable, QcoreError
from ..findings import Finding, error, warning
from ..masking import mask_url
from ..runtime import current
from . import services, setup
from .clusters import clusters
from .databases import databases
from .ledger import ledger
from .report import Report, Section

logger = logging.getLogger("qcore.doctor")

SECTIONS: dict[str, Callable[[], Iterable[Finding]]] = {
    "settings": setup.settings,
    "plugins": setup.plugins,
    "broker": services.broker,
    "databases": databases,
    "ledger": ledger,
    "cache": services.cache,
    "clusters": clusters,
}

_CHECK_ID = re.compile(r" \([\w.]+\)$")
_AGAIN = "Put it right, and run: qcore doctor"


def examine() -> Report:
    """Return what is found; where the settings are wrong, only what is wrong there."""
    first = Section("settings", tuple(_guarded(setup.settings)))
    project = _project()
    if project is None:
        return Report(project="?", at=time.time(), sections=(first,))
    others = (
        Section(name, tuple(_guarded(ask)))
        for name, ask in SECTIONS.items()
        if name != first.name
    )
    sections = tuple(_without_repetition((first, *others)))
    return Report(project=project, at=time.time(), sections=sections)


def _without_repetition(sections: Iterable[Section]) -> Iterator[Section]:
    """Yield sections that tell each error once: a wrong setting stops many of them."""
    known: set[str] = set()
    for section in sections:
        kept = [
            found
            for found in section.findings
            if found.level != "error" or _plain(found.fact) not in known
        ]
        known |= {_plain(found.fact) for found in kept if found.level == "error"}
        if len(kept) < len(section.findings):
            kept.append(warning("not examined further, for the reason above", ""))
        yield Section(section.name, tuple(kept))


def _plain(fact: str) -> str:
    """Return a fact without the id of a check at its end."""
    return _CHECK_ID.sub("", fact)


def _project() -> str | None:
    try:
        return current.conf.name
    except QcoreError:
        return None  # the section of the settings tells why


def _guarded(ask: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """Yield findings without secrets, the last one being that no more could be had."""
    try:
        for found in ask():
            yield Finding(found.level, mask_url(found.fact), mask_url(found.advice))
    except BrokerUnavailable as reason:
        yield error(mask_url(str(reason)), "Start the service, or correct Q_CLUSTER.")
    except QcoreError as reason:
        yield error(" ".join(mask_url(str(reason)).split()), _AGAIN)
    except Error as reason:
        yield error(
            mask_url(explain(reason)), "Start the database, or correct DATABASES."
        )
    except (
        Exception
    ) as reason:  # a plugin, or a driver under the cache, may raise anything
        logger.debug("the examination has failed", exc_info=True)
        text = " ".join(mask_url(str(reason)).split())
        yield error(f"{type(reason).__name__}: {text}", _AGAIN)
