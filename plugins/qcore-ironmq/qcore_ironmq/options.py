"""The setting ``iron_mq`` and what else of ``Q_CLUSTER`` IronMQ sets bounds to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qcore.errors import ConfigError, did_you_mean
from qcore.masking import mask, mask_url

from .batches import MAX_BATCH
from .client import Client

if TYPE_CHECKING:
    from qcore.conf import Conf

# Bounds of the service in seconds, from its reference of the API.
MIN_LEASE_SECONDS = 30
MAX_LEASE_SECONDS = 86_400
MAX_DELAY_SECONDS = 604_800
MAX_WAIT_SECONDS = 30

# What the client takes for what is said nowhere; iron-core has the same.
DEFAULTS = {"host": "mq-aws-us-east-1-1.iron.io", "protocol": "https", "port": 443}
_TYPES: dict[str, tuple[type, ...]] = {
    "host": (str,),
    "project_id": (str,),
    "token": (str,),
    "protocol": (str,),
    "port": (int, str),
    "api_version": (int,),
    "config_file": (str, Path),
    "keystone": (dict,),
    "cloud": (str,),
    "path_prefix": (str,),
}
# What decides by itself whom the client asks: both win over host and token.
_MIGHTY = ("keystone", "cloud")


@dataclass(frozen=True, slots=True)
class Options:
    """The setting ``iron_mq``, checked."""

    given: Mapping[str, Any]
    """What the project says; None stands for not said."""

    @classmethod
    def read(cls, conf: Conf) -> Options:
        """Check the setting; the dictionary of the project is not changed.

        Raises:
            ConfigError: an option is unknown or wrong.
        """
        given = {}
        for name, value in (conf.options.get("iron_mq") or {}).items():
            _check_option(name, value)
            if value is not None:  # as os.environ.get() gives it
                given[name] = value
        return cls(given)

    @property
    def is_complete(self) -> bool:
        """Whether the project names its project and its credentials."""
        credentials = "token" in self.given or "keystone" in self.given
        return "project_id" in self.given and credentials

    def make_client(self) -> Client:
        """Return a client; nothing is connected.

        Complete settings are all there is; else the client looks for what is missing
        in its files and variables.

        Raises:
            ConfigError: something is missing there too, or cannot be ignored.
        """
        closed = self.is_complete and "config_file" not in self.given
        arguments = {**DEFAULTS, **self.given} if closed else dict(self.given)
        try:
            client = Client(arguments)
            client.port = int(client.port)  # a file or variable may have a text
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise ConfigError(
                f"Q_CLUSTER['iron_mq'] makes no client of IronMQ:"
                f" {mask_url(str(error)).rstrip('.')}. Set 'project_id' and 'token'"
                " there, in ~/.iron.json or in IRON_MQ_PROJECT_ID and IRON_MQ_TOKEN."
            ) from None
        if closed:
            self._refuse_strays(client)
        return client

    def _refuse_strays(self, client: Client) -> None:
        for name in _MIGHTY:
            if name not in self.given and getattr(client, name) is not None:
                raise ConfigError(
                    f"{name!r} comes from ~/.iron.json, iron.json or an IRON_ variable,"
                    " and would win over Q_CLUSTER['iron_mq']. Remove it there, or"
                    " write it into Q_CLUSTER['iron_mq']."
                )


def _check_option(name: str, value: Any) -> None:
    if name not in _TYPES:
        near = did_you_mean(name, _TYPES)
        raise ConfigError(f"Q_CLUSTER['iron_mq']: unknown option {name!r}{near}")
    wrong = value is not None and (
        not isinstance(value, _TYPES[name]) or isinstance(value, bool)
    )
    expected = " or ".join(kind.__name__ for kind in _TYPES[name])
    if value == "" and name != "path_prefix":
        wrong, expected = True, "a text that is not empty"
    elif name == "token" and isinstance(value, str) and not _fits_header(value):
        wrong, expected = True, "printable ASCII without blanks"
    elif name == "port" and isinstance(value, str) and not value.isdecimal():
        wrong, expected = True, "a number"
    elif name == "protocol" and value not in (None, "http", "https"):
        wrong, expected = True, "'https' or 'http'"
    elif name == "config_file" and value and not Path(value).exists():
        wrong, expected = True, "the path of a file that exists"
    if wrong:
        raise ConfigError(
            f"Q_CLUSTER['iron_mq'][{name!r}] is {mask(value, name)!r}"
            f" ({type(value).__name__}), expected {expected}."
        )


def _fits_header(token: str) -> bool:
    """Refuse, above all, the newline at the end of a file with a secret."""
    return token.isascii() and token.isprintable() and " " not in token


def check_bounds(conf: Conf, lease_seconds: float) -> None:
    """Raise ConfigError for settings that IronMQ cannot keep.

    Args:
        conf: says whether they were set.
        lease_seconds: by the clock of the service.
    """
    if not MIN_LEASE_SECONDS <= lease_seconds <= MAX_LEASE_SECONDS:
        nearest = MIN_LEASE_SECONDS
        if lease_seconds > MAX_LEASE_SECONDS:
            nearest = MAX_LEASE_SECONDS
        raise ConfigError(
            f"Q_CLUSTER['retry'] is {conf.retry:g} s, expected {MIN_LEASE_SECONDS} to"
            f" {MAX_LEASE_SECONDS:,}: IronMQ reserves a message for no shorter and no"
            f" longer. Write {nearest}."
        )
    if "bulk" in conf.explicit and conf.bulk > MAX_BATCH:
        raise ConfigError(
            f"Q_CLUSTER['bulk'] is {conf.bulk}, expected 1 to {MAX_BATCH}: IronMQ hands"
            f" out no more in one call. Write {MAX_BATCH}."
        )


def check_queue(name: str) -> None:
    """Raise ConfigError for a name that would lead to another address."""
    if not name.strip("."):
        raise ConfigError(
            f"the queue {name!r} cannot be one of IronMQ, for it is no part of a URL."
            " Choose another 'name' or 'cluster_name' of Q_CLUSTER."
        )
