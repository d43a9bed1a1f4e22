"""Calls of SQS: throttled ones again, failed entries again, errors in qcore's words."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from qcore.brokers.tools import RETRY_PAUSES, try_again
from qcore.errors import BrokerError, NoReply
from qcore.masking import mask_url

from .errors import THROTTLED, TOO_LATE, Throttled, Undone, struck, translate
from .options import Options
from .session import open_session


@dataclass(slots=True)
class Answer:
    """What became of the entries of a batch, each by its place in it."""

    done: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    refused: dict[int, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def too_late(self) -> set[int]:
        """The entries refused because their receipt counts no more."""
        return {at for at, told in self.refused.items() if told.get("Code") in TOO_LATE}


class Connection:
    """A client that is made on first use.

    Args:
        options: of session and client.
        reply_seconds: how long a reply may take.
    """

    def __init__(self, options: Options, reply_seconds: float) -> None:
        self._options = options
        self._reply_seconds = reply_seconds
        self._made: Any = None

    @property
    def _client(self) -> Any:
        if self._made is None:
            session = open_session(self._options)
            self._made = session.client(self._options, self._reply_seconds)
        return self._made

    @property
    def place(self) -> str:
        """Name of the service and its region, or its address where it is not AWS's."""
        meta = self._client.meta
        if meta.endpoint_url.endswith((".amazonaws.com", ".amazonaws.com.cn")):
            return f"Amazon SQS in {meta.region_name}"
        return f"SQS at {mask_url(meta.endpoint_url)} ({meta.region_name})"

    def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Call an operation by its name in boto3 and return the reply.

        Raises:
            ConfigError: no client can be made of the settings.
            NoReply: whether the call was done is not known.
            BrokerUnavailable: the service cannot be reached.
            Throttled: it was not done.
            BrokerError: the reply is an error.
        """
        return try_again(partial(self._call_once, operation, arguments), Throttled)

    def _call_once(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            reply = getattr(self._client, operation)(**arguments)
        except (BotoCoreError, ClientError, OSError) as error:
            if (interruption := struck(error)) is not None:
                raise interruption from None
            raise translate(error, self.place) from error
        except ResponseParserError as error:
            raise NoReply(
                f"{self.place} sends a reply that is not of SQS. Check 'endpoint_url' of"
                " Q_CLUSTER['sqs'], and proxies."
            ) from error
        return cast("dict[str, Any]", reply)

    def batch(
        self, operation: str, url: str, entries: Sequence[Mapping[str, Any]]
    ) -> Answer:
        """Call a batch operation; entries that failed at the service are sent again.

        Args:
            operation: its name in boto3, such as ``send_message_batch``.
            url: of the queue.
            entries: up to ten, without their ``Id``.

        Raises:
            Undone: some entries stay undone; the others are done.
        """
        answer = Answer()
        left = set(range(len(entries)))
        why = "no word of some entries"
        for pause in (*RETRY_PAUSES, 0):
            sent = [{"Id": str(at), **entries[at]} for at in sorted(left)]
            reply = self.call(operation, QueueUrl=url, Entries=sent)
            for told in reply.get("Successful", ()):
                answer.done[int(told["Id"])] = told
            for told in reply.get("Failed", ()):
                if _passes(told):
                    why = _text(told)
                else:
                    answer.refused[int(told["Id"])] = told
            left -= answer.done.keys() | answer.refused.keys()
            if not left:
                return answer
            time.sleep(pause)
        raise Undone(
            f"{self.place} has not done {len(left)} of {len(entries)} entries of a call:"
            f" {why}. Try again later."
        )

    def refusal(self, told: Mapping[str, Any]) -> BrokerError:
        """Return the error to raise for a refused entry."""
        return BrokerError(f"{self.place} refused an entry of a call: {_text(told)}.")

    def close(self) -> None:
        """Disconnect; the next call connects again."""
        if self._made is not None:
            self._made.close()
            self._made = None


def _passes(told: Mapping[str, Any]) -> bool:
    """Whether a failed entry may do better when it is sent again."""
    code = str(told.get("Code", ""))
    if code in TOO_LATE:
        return False
    return not told.get("SenderFault") or code in THROTTLED


def _text(told: Mapping[str, Any]) -> str:
    text = f"{told.get('Code')}: {told.get('Message') or 'no reason given'}"
    return mask_url(text).rstrip(".")
