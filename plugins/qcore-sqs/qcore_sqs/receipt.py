"""A receipt: the handle of one delivery, and until when it is certainly ours."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True, unsafe_hash=True)
class Receipt:
    """Equal to another with the same handle.

    SQS does not say what it does with the handle of a delivery that somebody else
    holds by now; some services then change the lease of that other holder. So an
    expired receipt is not sent, save for an acknowledgement, and all threads that have
    it see how long it lasts.
    """

    handle: str
    """What SQS calls the ReceiptHandle."""
    lease_end: float = field(compare=False)
    """Seconds on the monotonic clock; moves with every change of the lease."""
