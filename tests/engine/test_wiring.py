"""The objects of a dispatcher know each other in one direction."""

from __future__ import annotations

import graphlib
import types

import pytest
from support.stepped import Stepped
from support.stopped_clock import stop_time

ENGINE = "qcore.engine."


def known_to(thing):
    """What an object of the engine has: its attributes, and what is behind callables."""
    slots = [
        name for kind in type(thing).__mro__ for name in vars(kind).get("__slots__", ())
    ]
    names = [*vars(thing), *slots] if hasattr(thing, "__dict__") else slots
    look = [getattr(thing, name) for name in names if hasattr(thing, name)]
    while look:
        found = look.pop()
        if isinstance(found, types.MethodType):
            look.append(found.__self__)
        elif isinstance(found, types.FunctionType):
            look += [cell.cell_contents for cell in found.__closure__ or ()]
        elif isinstance(found, (list, tuple, set, frozenset)):
            look += found
        elif isinstance(found, dict):
            look += found.values()
        elif type(found).__module__.startswith(ENGINE):
            yield found


def graph_of(root):
    """Every object of the engine that can be reached, and what each of them knows."""
    graph, look, kept = {}, [root], []
    while look:
        thing = look.pop()
        name = type(thing).__name__
        if any(thing is one for one in kept):
            continue
        kept.append(thing)
        known = list(known_to(thing))
        look += known
        graph.setdefault(name, set()).update(
            type(one).__name__ for one in known if one is not thing
        )
    return graph


def test_no_object_has_a_callback_of_a_peer_that_has_it(monkeypatch):
    clock = stop_time(monkeypatch)
    stepped = Stepped("wiring", clock, lambda note: None, workers=2)
    try:
        stepped.turn()
        graph = graph_of(stepped.dispatcher)
        graph |= graph_of(stepped.pusher) | graph_of(stepped.renewal)
    finally:
        stepped.lose()
    assert {"Loop", "Recorder", "Watchdog", "WorkerPool", "ReadyQueue"} <= graph.keys()
    tuple(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


def test_a_circle_is_found():
    class One:
        def call(self): ...

    class Other:
        def __init__(self, call):
            self.call = call

    One.__module__ = Other.__module__ = ENGINE + "made.up"
    one = One()
    one.other = Other(one.call)
    with pytest.raises(graphlib.CycleError):
        tuple(graphlib.TopologicalSorter(graph_of(one)).static_order())
