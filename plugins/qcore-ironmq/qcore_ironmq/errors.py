"""What the service or its client raises, told in qcore's words: fact, then what to do."""

from __future__ import annotations

from http import HTTPStatus

import requests

from qcore.errors import BrokerError, BrokerUnavailable, NoReply
from qcore.masking import mask_url


class Missing(BrokerError):
    """The service does not have the queue or the message."""


class Late(BrokerError):
    """The reservation has ended, or is another's."""


class Busy(BrokerUnavailable):
    """The service has not done the call, and may do it in a moment."""


_LASTING = {
    HTTPStatus.UNAUTHORIZED: "refuses the token. Set 'token' and 'project_id' of"
    " Q_CLUSTER['iron_mq']; those of IronMQ v2 do not work with v3",
    HTTPStatus.FORBIDDEN: "does not let this token use the project. Check 'project_id'"
    " and 'token' of Q_CLUSTER['iron_mq']",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "takes no message of this size: the plan sets"
    " the limit. Set 'max_payload' of Q_CLUSTER to 48000 for one of 64 kB",
}


def translate(error: requests.RequestException, place: str) -> BrokerError:
    """Return the error to raise instead of what requests raised.

    Args:
        error: an HTTPError has a response; anything else means that there was none.
        place: name and address of the service, without secrets.
    """
    if error.response is not None:
        return _judge(error.response, place)
    # without a connection nothing was sent
    kind = BrokerUnavailable if _is_unsent(error) else NoReply
    if isinstance(error, requests.Timeout):
        return kind(
            f"{place} does not answer in time. Check the network, or try again later."
        )
    # urllib3 wraps the cause into a sentence about retries, of which there are none
    cause = getattr(error.args[0], "reason", error) if error.args else error
    text = mask_url(str(cause)).rstrip(".")
    return kind(
        f"{place} cannot be reached: {text}. Check the network, or set 'host', 'port'"
        " and 'protocol' of Q_CLUSTER['iron_mq']."
    )


def _is_unsent(error: requests.RequestException) -> bool:
    """Whether there was no connection at all."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    cause = getattr(error.args[0], "reason", None) if error.args else None
    # of urllib3, which is below requests and no driver of ours
    return type(cause).__name__ in {"NewConnectionError", "NameResolutionError"}


def not_ironmq(place: str) -> NoReply:
    """Return the error for a reply that is not in the words of IronMQ."""
    return NoReply(
        f"{place} sends a reply that is not of IronMQ v3. Check 'host' and 'path_prefix' of"
        " Q_CLUSTER['iron_mq'], and proxies."
    )


def _judge(response: requests.Response, place: str) -> BrokerError:
    status = response.status_code
    said = _said(response)
    told = f"It says: {said or 'nothing'} ({status})."
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return Busy(f"{place} is unavailable. {told} Try again later.")
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return BrokerUnavailable(f"{place} is unavailable. {told} Try again later.")
    if status >= 500:
        return NoReply(f"{place} is unavailable. {told} Try again later.")
    if status == HTTPStatus.NOT_FOUND:
        # without words it is some web server that does not know the path
        if not said:
            return not_ironmq(place)
        return Missing(
            f"{place} says: {said}. Check 'project_id' of Q_CLUSTER['iron_mq']."
        )
    refused = status in (HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN)
    if refused and "reserv" in said.lower():
        return Late(f"{place}: {said}.")
    for known, fact in _LASTING.items():
        if status == known:
            return BrokerError(f"{place} {fact}. {told}")
    return BrokerError(f"{place} refused a call. {told}")


def _said(response: requests.Response) -> str:
    """Return the ``msg`` of a reply; empty where it is not of IronMQ."""
    try:
        body = response.json()
    except requests.JSONDecodeError:
        return ""
    text = body.get("msg", "") if isinstance(body, dict) else ""
    return mask_url(str(text)).rstrip(".")
