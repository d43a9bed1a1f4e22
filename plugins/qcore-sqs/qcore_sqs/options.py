"""The setting ``sqs`` and what else of ``Q_CLUSTER`` SQS sets bounds to."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from qcore.errors import ConfigError, did_you_mean
from qcore.masking import mask

if TYPE_CHECKING:
    from qcore.conf import Conf

# Bounds of the service, from its list of quotas.
MAX_BATCH = 10
MAX_WAIT_SECONDS = 20
MAX_LEASE_SECONDS = 43_200  # 12 hours, from the claim on
MAX_DELAY_SECONDS = 900
MAX_NAME = 80

# The documented name, and what boto3 calls it.
RENAMED = {"aws_region": "region_name"}
WAIT = "receive_message_wait_time_seconds"
# Arguments of Session.client; region and keys are those of the session.
OF_A_CLIENT = {"endpoint_url", "use_ssl", "verify", "api_version", "config"}
OF_A_SESSION = set(inspect.signature(boto3.Session.__init__).parameters) - {"self"}
# Arguments that are no text.
_OBJECTS = {"botocore_session", "use_ssl", "verify", "config"}


@dataclass(frozen=True, slots=True)
class Options:
    """The setting ``sqs``, taken apart."""

    session: tuple[tuple[str, Any], ...] = ()
    """Arguments of ``boto3.Session``; hashable, for equal ones share a session."""
    client: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of ``Session.client``."""
    wait: int = 0
    """Seconds that an empty queue is waited on at least; 0: as the caller says."""

    @classmethod
    def read(cls, conf: Conf) -> Options:
        """Take the setting apart; the dictionary of the project is not changed.

        Raises:
            ConfigError: an option is unknown or wrong, or another setting of the
                project is out of the service's bounds.
        """
        _check_bounds(conf)
        given: dict[str, Any] = {}
        for name, value in (conf.options.get("sqs") or {}).items():
            _check_option(name, value)
            chosen = RENAMED.get(name, name)
            if chosen in given:
                raise ConfigError(
                    "Q_CLUSTER['sqs'] has both 'aws_region' and 'region_name', which"
                    " are the same. Keep one of them."
                )
            given[chosen] = value
        _check_keys(given)
        session = {name: v for name, v in given.items() if name in OF_A_SESSION}
        return cls(
            session=tuple(sorted(session.items())),
            client={name: v for name, v in given.items() if name in OF_A_CLIENT},
            wait=given.get(WAIT) or 0,
        )


def _check_option(name: str, value: Any) -> None:
    known = OF_A_SESSION | OF_A_CLIENT | RENAMED.keys() | {WAIT}
    if name not in known:
        near = did_you_mean(name, known)
        raise ConfigError(f"Q_CLUSTER['sqs']: unknown option {name!r}{near}")
    if value is None:  # as os.environ.get() gives it
        return
    fits, expected = True, ""
    if name == WAIT:
        # with 0, an idle cluster would ask, and pay, without a pause
        fits = type(value) is int and 1 <= value <= MAX_WAIT_SECONDS
        expected = f"a whole number of seconds from 1 to {MAX_WAIT_SECONDS}"
    elif name == "config":
        fits, expected = isinstance(value, Config), "a botocore.config.Config"
    elif name not in _OBJECTS:
        fits, expected = isinstance(value, str) and value != "", "a text"
    if not fits:
        raise ConfigError(
            f"Q_CLUSTER['sqs'][{name!r}] is {mask(value, name)!r}"
            f" ({type(value).__name__}), expected {expected}."
            " Leave it out for the default."
        )


def _check_keys(given: Mapping[str, Any]) -> None:
    """Refuse half of a pair, which boto3 would pass over or sign with."""
    pair = ("aws_access_key_id", "aws_secret_access_key")
    has = [name for name in pair if given.get(name)]
    if len(has) == 1:
        (other,) = set(pair) - set(has)
        raise ConfigError(
            f"Q_CLUSTER['sqs'] has {has[0]!r} and no {other!r}. Set both, or leave both"
            " out for what boto3 finds in the environment."
        )


def _check_bounds(conf: Conf) -> None:
    if "bulk" in conf.explicit and conf.bulk > MAX_BATCH:
        raise ConfigError(
            f"Q_CLUSTER['bulk'] is {conf.bulk}, expected 1 to {MAX_BATCH}: Amazon SQS"
            f" hands out no more in one call. Write {MAX_BATCH}."
        )
    if conf.retry > MAX_LEASE_SECONDS:
        raise ConfigError(
            f"Q_CLUSTER['retry'] is {conf.retry} s, expected {MAX_LEASE_SECONDS:,} or"
            " less: Amazon SQS hides a message for 12 hours at most. Write"
            f" {MAX_LEASE_SECONDS}."
        )


def check_queue(name: str) -> None:
    """Raise ConfigError unless a queue of SQS can have this name."""
    if re.fullmatch(rf"[A-Za-z0-9_-]{{1,{MAX_NAME}}}", name):
        return
    if name.endswith(".fifo"):
        raise ConfigError(
            f"the queue {name!r} is a FIFO queue of Amazon SQS, which hands out the"
            " tasks of a group one at a time; qcore runs them in parallel and uses"
            f" standard queues. Write {name.removesuffix('.fifo')!r}."
        )
    valid = re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:MAX_NAME].strip("-") or "default"
    raise ConfigError(
        f"the queue {name!r} cannot be one of Amazon SQS: expected 1 to {MAX_NAME}"
        f" letters, digits, '-' and '_'. Write {valid!r} for 'name' or 'cluster_name'"
        " of Q_CLUSTER."
    )
