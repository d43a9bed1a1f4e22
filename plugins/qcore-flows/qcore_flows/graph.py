"""Flow: a graph of tasks, each of which waits for others and may take their results."""

from __future__ import annotations

import graphlib
import json
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Literal, Self

from qcore.conf.names import shown
from qcore.envelope import Task
from qcore.errors import CallError, EnqueueError, did_you_mean, sentence
from qcore.runtime import current
from qcore.tasks.loops import refuse_with_in_loop

from .blocking import async_variant, blocking
from .callbacks import CHANGED, decide, send_due
from .ending import end, send_ready
from .handle import Handle, made, require_queue, running
from .models import FlowRow
from .nodes import Node
from .option import derived_id, giving
from .references import Path, take_out
from .tables import EDGES, MEMBERS, flows, lock, place, require_tables

OnFailure = Literal["stop", "go on"]

#: What is written of nodes and edges. Models would cost a third of sending the graph.
_OF_MEMBERS = (
    *("id", "flow_id", "number", "task_id", "name"),
    *("waits", "may_fail", "is_taken", "package"),
)
_OF_EDGES = ("flow_id", "parent", "child", "places")


class Flow(Handle):
    """A graph of tasks.

    ::

        flow = Flow("order 17")
        order = flow.add(fetch, 17)
        price = flow.add(calculate, order)          # takes the result of fetch
        flow.add(mail, price, after=[flow.add(reserve, order)])
        flow.send()

    Nothing is sent before ``send``; or use it as ``with Flow("order 17") as flow:``, which
    sends at the end of its block, and nothing where the block raises.

    Args:
        name: for people, up to 255 characters.
        id: of a flow that exists: use ``Flow.get(id)``.
    """

    kind = "graph"

    def __init__(self, name: str = "", *, id: str | None = None) -> None:
        super().__init__(name, id=id)
        self._nodes: list[Node] = []
        self._tasks: list[Task] = []
        self._may_fail: set[int] = set()
        #: For each node the nodes that it waits for, and where it takes their results.
        self._parents: list[dict[int, list[Path]]] = []

    def add(
        self,
        func: Callable[..., Any] | str,
        *args: Any,
        after: Iterable[Node] = (),
        on_failure: OnFailure = "stop",
        **kwargs: Any,
    ) -> Node:
        """Add a task and return its node.

        Args:
            func: a function of a module, or its dotted path.
            args: its positional arguments. A node in them, also in lists, tuples and
                values of dictionaries, is the result of that node.
            after: nodes that it waits for, besides those among its arguments.
            on_failure: what becomes of the nodes that wait for this one if it fails for
                good: "stop", they never run; "go on", they run, and take None.
            kwargs: its keyword arguments, and options as of ``Batch.add``.

        Raises:
            CallError: a node is of another graph, or this one is sent already.
            EnqueueError: the call cannot be sent.
        """
        self._require_unsealed("nodes are added")
        if on_failure not in ("stop", "go on"):
            near = did_you_mean(str(on_failure), ["stop", "go on"])
            raise CallError(
                f"on_failure is {shown(on_failure)}, expected 'stop' or 'go on'"
                f"{sentence(near)}"
            )
        plain, keywords, taken = take_out(args, kwargs)
        before = list(after)
        for node in (*(node for node, _ in taken), *before):
            self._require_own(node)
        number = len(self._nodes)
        id = derived_id(self.id, str(number))
        member = {"flow_id": self.id, "takes": bool(taken)}
        task, delay = made(func, plain, keywords, id, member, takes=bool(taken))
        if delay:
            raise EnqueueError(
                f"cannot send {task.func} in a graph with a delay: a node is sent when the"
                " nodes that it waits for have ended."
            )
        node = Node(self, number, id, task.name)
        waits: dict[int, list[Path]] = {}
        for other, path in taken:
            waits.setdefault(other.number, []).append(path)
        self._nodes.append(node)
        self._tasks.append(task)
        self._parents.append(waits)
        if on_failure == "go on":
            self._may_fail.add(number)
        for other in before:
            self.connect(other, node)
        return node

    def connect(self, first: Node, then: Node) -> None:
        """Let one node wait for another; as ``then.after(first)``."""
        self._require_unsealed("nodes are connected")
        self._require_own(first)
        self._require_own(then)
        self._parents[then.number].setdefault(first.number, [])

    def _require_own(self, node: object) -> None:
        if not isinstance(node, Node):
            raise CallError(f"got {shown(node)}, expected nodes of the graph.")
        if not node.is_of(self):
            raise CallError(f"{node!r} belongs to another graph than {self!r}.")

    # -- sending --------------------------------------------------------------------------
    @blocking
    def send(self) -> str:
        """Send the graph and return its id; in one transaction of the ledger's database.

        Raises:
            CallError: it is sent already, or some of its nodes wait for each other.
            EnqueueError: it cannot be sent; nothing is.
            BrokerUnavailable: the database of the ledger does not answer.
        """
        self._require_unsealed("a graph is sent")
        self._refuse_circles()
        require_queue("tasks")
        require_tables("send a flow").run(self._write)
        self._is_sealed = True
        return self.id

    asend = async_variant(send)

    def _refuse_circles(self) -> None:
        graph = {number: set(parents) for number, parents in enumerate(self._parents)}
        try:
            graphlib.TopologicalSorter(graph).prepare()
        except graphlib.CycleError as error:
            circle = [self._nodes[number].name for number in error.args[1]]
            names = " -> ".join(circle[:20])
            raise CallError(
                f"{self!r} has a circle, of which no node could ever run: {names}."
                " Nothing is sent."
            ) from None

    def _write(self) -> None:
        now = place().now()
        database = place().database
        row = self._new_row(now)
        row.sealed = now
        row.total = row.pending = len(self._nodes)
        for word, package in self._packages().items():
            setattr(row, word, package)
        row.save(using=database, force_insert=True)
        taken = {
            n for parents in self._parents for n, paths in parents.items() if paths
        }
        sign = current.signer.sign
        place().insert(
            MEMBERS,
            _OF_MEMBERS,
            [
                (
                    node.id,
                    self.id,
                    node.number,
                    node.id,
                    node.name[:255],
                    len(self._parents[node.number]),
                    node.number in self._may_fail,
                    node.number in taken,
                    sign(giving(task) if node.number in taken else task),
                )
                for node, task in zip(self._nodes, self._tasks, strict=True)
            ],
        )
        place().insert(
            EDGES,
            _OF_EDGES,
            [
                (
                    self.id,
                    self._nodes[parent].id,
                    self._nodes[child].id,
                    json.dumps(paths) if paths else "",
                )
                for child, parents in enumerate(self._parents)
                for parent, paths in parents.items()
            ],
        )
        self._begin(now)

    def _begin(self, now: float) -> None:
        locked = lock([self.id])
        flow = locked[self.id]
        roots = [node.id for node in self._nodes if not self._parents[node.number]]
        if broken := send_ready(roots, now):
            end(locked, broken)
        elif not self._nodes:
            _end_empty(flow, now)

    def __enter__(self) -> Self:
        """Begin to add; the end of the block sends the graph."""
        refuse_with_in_loop("Flow")
        self._require_unsealed("its block begins")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Send the graph, unless the block has raised."""
        if kind is None and not self._is_sealed:
            self.send()

    # -- by hand -----------------------------------------------------------------------------
    @blocking
    def cancel_node(self, node: Node | str, *, below: bool = False) -> int:
        """Cancel a node, and with ``below`` all that wait for it; return how many.

        Args:
            node: the node, the id of its member, or that of its task.
            below: those that wait for it, too, and those that wait for them. Without it,
                they are skipped where the node says ``on_failure="stop"``.

        Raises:
            CallError: the node is of another graph.
        """
        from .repair import cancel_members

        return cancel_members(self.id, [_id_of(node)], and_below=below)

    acancel_node = async_variant(cancel_node)

    @blocking
    def retry_node(self, node: Node | str, *, below: bool = False) -> int:
        """Send a node that has ended again, as a new task; return how many are sent.

        Nodes that were skipped for it wait for it again. What has succeeded below it stays,
        unless ``below`` lets it run again, too.

        Args:
            node: as ``cancel_node``.
            below: also those that wait for it and have ended.

        Raises:
            CallError: the node is of another graph, has not ended, or was skipped for one
                that has failed; or one below it runs.
        """
        from .repair import retry_members

        return retry_members(self.id, [_id_of(node)], and_below=below)

    aretry_node = async_variant(retry_node)


def _id_of(node: Node | str) -> str:
    if isinstance(node, Node):
        return node.id
    if isinstance(node, str):
        return node
    raise CallError(f"got {shown(node)}, expected a node, or the id of a member.")


def _end_empty(flow: FlowRow, now: float) -> None:
    due = decide(flow, now)
    flows().filter(pk=flow.id).update(**{name: getattr(flow, name) for name in CHANGED})
    send_due(flow.id, due)


@blocking
def current_flow() -> Flow | None:
    """Return the graph that the running task is a node or a callback of; None: of none."""
    return running(Flow)


acurrent_flow = async_variant(current_flow)
