"""Values of steps and events, as the serializer of the project stores them."""

from __future__ import annotations

from typing import Any, NamedTuple

from qcore.errors import SerializeError
from qcore.results.content import load_bytes
from qcore.runtime import current
from qcore.serializers import get_serializer

from .errors import StepError


class Value(NamedTuple):
    """A value that can be stored."""

    content: str
    data: bytes

    def load(self) -> Any:
        """Return what was stored; each time a new object.

        Raises:
            StoreError: the project does not accept its serializer any more.
        """
        return load_bytes(self.data, self.content, current.conf.accept_content)


def encode(value: object, what: str) -> Value:
    """Return a value as it is stored.

    Args:
        value: to be stored.
        what: has it, for the error: ``"the step 'charge'"``.

    Raises:
        StepError: it cannot be stored, or is larger than ``max_result``.
    """
    conf = current.conf
    try:
        data = get_serializer(conf.serializer).dumps(value)
    except SerializeError as error:
        raise StepError(f"the value of {what} cannot be stored: {error}") from error
    if len(data) > conf.max_result:
        raise StepError(
            f"the value of {what} has {len(data):,} bytes, over max_result"
            f" ({conf.max_result:,}). Store it yourself, and return its key."
        )
    return Value(conf.serializer, data)
