"""Node: one task of a graph, before the graph is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .graph import Flow


class Node:
    """A task of a graph; made by ``Flow.add``.

    As an argument of another node, it is the result that its task has returned.
    """

    __slots__ = ("_flow", "id", "name", "number")

    def __init__(self, flow: Flow, number: int, id: str, name: str) -> None:
        self._flow = flow
        self.number = number
        #: The id of its first task.
        self.id = id
        self.name = name

    def __repr__(self) -> str:
        return f"<node {self.number} {self.name} of {self._flow!r}>"

    def after(self, *others: Node) -> Node:
        """Let this node wait for others, without taking their results; return this node.

        Raises:
            CallError: one of them is no node of this graph, or the graph is sent.
        """
        for other in others:
            self._flow.connect(other, self)
        return self

    def is_of(self, flow: Flow) -> bool:
        """Whether it belongs to a graph."""
        return self._flow is flow
