"""boto3's sessions: one for each process and set of options, shared by its threads."""

from __future__ import annotations

import functools
import os
import threading
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from qcore.errors import ConfigError
from qcore.masking import mask_url

from .options import Options

# Seconds. A web request must learn within two that a task cannot be sent.
CONNECT_SECONDS = 1.5


def open_session(options: Options) -> Session:
    """Return this process's session for the options; nothing is connected.

    Raises:
        ConfigError: there is no region, or no such profile.
    """
    # A session of the parent may hold a lock that no thread of ours will release.
    return _open(os.getpid(), options.session)


@functools.lru_cache(maxsize=16)
def _open(_pid: int, arguments: tuple[tuple[str, Any], ...]) -> Session:
    return Session(arguments)


class Session:
    """A boto3 session that may be used by several threads.

    The first client of a session costs 0.1 to 0.3 seconds, for boto3 reads the model of
    the service; each further one costs 2 to 10 milliseconds.
    """

    def __init__(self, arguments: tuple[tuple[str, Any], ...]) -> None:
        self._lock = threading.Lock()  # boto3's own is not safe for threads
        try:
            self._session = boto3.Session(**dict(arguments))
            region = self._session.region_name
        except (BotoCoreError, ValueError) as error:
            raise _wrong(error) from None
        if not region:
            raise ConfigError(
                "Q_CLUSTER['sqs'] names no region, and boto3 finds none in the"
                " environment. Set 'aws_region': 'eu-west-1' there, or the variable"
                " AWS_DEFAULT_REGION."
            )

    def client(self, options: Options, reply_seconds: float) -> Any:
        """Return a new client of SQS with connections of its own.

        Args:
            options: of the client.
            reply_seconds: how long a reply may take; a 'config' of the project wins.

        Raises:
            ConfigError: an argument is wrong.
        """
        arguments = dict(options.client)
        own = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=reply_seconds,
            # A driver that repeats a call whose reply was lost stores a task twice.
            retries={"total_max_attempts": 1},
            tcp_keepalive=True,
        )
        given = arguments.pop("config", None)
        config = own.merge(given) if given else own
        with self._lock:
            try:
                return self._session.client("sqs", config=config, **arguments)
            except (BotoCoreError, ValueError) as error:
                raise _wrong(error) from None


def _wrong(error: Exception) -> ConfigError:
    return ConfigError(
        f"Q_CLUSTER['sqs'] and the environment make no client of SQS:"
        f" {mask_url(str(error)).rstrip('.')}. Check region, profile, keys and endpoint."
    )
