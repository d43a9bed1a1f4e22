"""What a node or redis-py raises, told in qcore's words: fact, then what to do."""

from __future__ import annotations

from typing import Any

from redis import exceptions

from qcore.errors import BrokerError, BrokerUnavailable, NoReply

# redis-py takes the word OOM off the message of it, and has it only since version 5.
_OutOfMemory: Any = getattr(exceptions, "OutOfMemoryError", ())

_PASSING = {
    "LEAVING": "it is leaving its cluster. Set 'disque_nodes' to other nodes as well",
    "LOADING": "it is still loading its data",
    "PAUSED": "the queue is paused. Run: PAUSE <queue> none",
    "NOREPL": "too few nodes can take the copies of a task: nodes are down, or this node"
    " is leaving its cluster or short of memory. Start the nodes that are down, run CLUSTER"
    " FORGET on the others for a node that will not come back, or set 'disque_replicate'"
    " of Q_CLUSTER to fewer copies",
}
_OOM = (
    "has no memory left: nothing more can be enqueued, and clusters still work the"
    " queue off. Raise its 'maxmemory', or start more workers"
)
_UNASKED = (
    "has no password, and Q_CLUSTER['disque_auth'] is set. Remove 'disque_auth', or set"
    " 'requirepass' on the node"
)
_REFUSED = "refuses the password. Set Q_CLUSTER['disque_auth'] to its 'requirepass'"
_FOREIGN = (
    "does not know a command of Disque: another service listens there. Set"
    " Q_CLUSTER['disque_nodes'] to the nodes of Disque"
)


def code(reply: object) -> str:
    """Return the first word of an error among replies, such as ``NOJOB``; else empty."""
    if isinstance(reply, exceptions.ResponseError):
        return str(reply).partition(" ")[0]
    return ""


def is_out_of_memory(reply: object) -> bool:
    """Whether a node refuses a command because its memory is full."""
    return isinstance(reply, _OutOfMemory) or code(reply) == "OOM"


def lacks_copies(reply: object) -> bool:
    """Whether ADDJOB has stored nothing, for want of nodes that can take copies."""
    return code(reply) == "NOREPL" and not is_unsure(reply)


def is_unsure(reply: object) -> bool:
    """Whether a reply of ADDJOB leaves open if the job is kept.

    The node has sent copies to others and got no word in time; it then forgets the job,
    and asks them to.
    """
    return code(reply) == "NOREPL" and "Timeout" in str(reply)


def translate(error: Exception, address: str) -> BrokerError:
    """Return the error to raise instead of what the driver raised.

    Args:
        error: of redis-py, or an OSError.
        address: ``host:port`` of the node.
    """
    text = str(error).rstrip(".")
    node = f"Disque at {address}"
    if isinstance(error, exceptions.AuthenticationError):
        # A missing password has the word too: it is wrong as any other.
        problem = _UNASKED if "no password is set" in text else _REFUSED
        return BrokerError(f"{node} {problem}. It says: {text}.")
    if isinstance(error, exceptions.BusyLoadingError):
        return _unavailable(node, "LOADING", text)
    if is_out_of_memory(error):
        return BrokerError(f"{node} {_OOM}. It says: {text}.")
    if is_unsure(error):
        return NoReply(
            f"{node} did not get the copies of a task to other nodes in time. Check the"
            f" network between the nodes. It says: {text}."
        )
    if code(error) in _PASSING:
        return _unavailable(node, code(error), text)
    if "unknown command" in text:
        return BrokerError(f"{node} {_FOREIGN}. It says: {text}.")
    if isinstance(error, exceptions.ResponseError):
        return BrokerError(f"{node} refused a command: {text}.")
    return BrokerUnavailable(
        f"{node} cannot be reached: {text}. Check that it runs there, or set"
        " Q_CLUSTER['disque_nodes'] to where it does."
    )


def _unavailable(node: str, name: str, text: str) -> BrokerUnavailable:
    return BrokerUnavailable(
        f"{node} is unavailable: {_PASSING[name]}. It says: {text}."
    )
