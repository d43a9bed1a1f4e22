"""The marks `live`, `service` and `kit`: set by what a test asks for, and held to.

A run without them (``-s quick``) starts no program. So a test that starts one needs a mark:
by a fixture of ``LIVE_FIXTURES``, by a server, by a contract of the kit, or by hand. A test
without any fails where it starts one. pyproject.toml loads this file as a pytest plugin.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

#: Who asks for one of these starts clusters, or programs of a terminal.
LIVE_FIXTURES = {
    *("_start", "start", "cluster", "start_cluster", "live_project", "project"),
    *("on_redis", "on_postgres", "results_on_postgres", "each", "place"),
    *("qcore", "outcomes", "bare", "furnished", "repository", "clone"),
}
#: Who asks for one of these gets a server; and who asks for a name that ends with _server.
SERVICE_FIXTURES = {
    *("make_database", "nodes", "watched", "trio", "bugsink"),
    *("restarted_moto", "restarted_ministack", "chromium"),
}
#: A test with one of these may start programs; a quick run leaves it out.
WITH_PROGRAMS = ("live", "service", "kit", "once", "slow", "soak")
#: What Python says, before it is done, to those that listen: PEP 578.
STARTS = {"subprocess.Popen", "os.posix_spawn", "os.system"}


class Watch:
    """Knows whether the test of this moment may start programs."""

    test = ""  # the one that may not; none is watched at first

    def listen(self, event: str, words: tuple[Any, ...]) -> None:
        """Refuse the start of a program; called by Python for each of its events."""
        if self.test and event in STARTS:
            raise AssertionError(
                f"{self.test} starts a program: {words[:2]}. A run without programs (-s quick)"
                " would have it, too. Mark it: @pytest.mark.live"
            )


WATCH = Watch()


def pytest_configure() -> None:
    if WATCH.listen not in _listening:  # a hook of Python's cannot be taken away
        _listening.append(WATCH.listen)
        sys.addaudithook(WATCH.listen)


_listening: list[object] = []


def pytest_itemcollected(item: pytest.Item) -> None:
    names = set(getattr(item, "fixturenames", ()))
    if names & LIVE_FIXTURES:
        item.add_marker("live")
    if names & SERVICE_FIXTURES or any(name.endswith("_server") for name in names):
        item.add_marker("service")
    kinds = item.cls.__mro__ if isinstance(item, pytest.Function) and item.cls else ()
    if any(kind.__module__.startswith("qcore.testing.") for kind in kinds):
        item.add_marker("kit")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(
    item: pytest.Item,
) -> Generator[None, bool | None, bool | None]:
    marked = any(item.get_closest_marker(name) for name in WITH_PROGRAMS)
    WATCH.test = "" if marked else item.nodeid
    try:
        return (yield)
    finally:
        WATCH.test = ""
