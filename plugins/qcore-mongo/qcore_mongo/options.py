"""The settings ``mongo`` and ``mongo_db``, turned into arguments of MongoClient."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pymongo
from pymongo.common import VALIDATORS
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

from qcore.errors import ConfigError, did_you_mean
from qcore.masking import mask_url

if TYPE_CHECKING:
    from qcore.conf import Conf

DEFAULT_DATABASE = "django-q"
# The driver waits 30 s for a server to appear; a web request cannot.
SERVER_SELECTION_MS = 2000
# What bounds a call; a project that sets one of them means it.
_TIME_OUTS = ("timeoutms", "sockettimeoutms", "serverselectiontimeoutms")
_EXPECTED = (
    "Expected mongodb://user:password@host:27017/database or mongodb+srv://..., with"
    " every special character of the password as %XX (urllib.parse.quote_plus)."
)


@dataclass(frozen=True, slots=True)
class Options:
    """How to reach the server.

    ``database`` is that of the queues; ``address`` has no secrets; ``bounded`` says
    whether the project limits the time of a call itself.
    """

    arguments: dict[str, Any]
    database: str
    address: str
    bounded: bool

    @classmethod
    def from_conf(cls, conf: Conf, reply_seconds: float) -> Options:
        """Read the settings; nothing is connected.

        Args:
            conf: the cluster's settings.
            reply_seconds: how long a reply may take, unless the project says it.

        Raises:
            ConfigError: an option is unknown, or the URI cannot be read.
        """
        given = dict(conf.options.get("mongo") or {})
        _check_names(given, "")
        hosts = _hosts(given.get("host"))
        uris = [_Uri.parse(host) for host in hosts if "://" in host]
        named = {name.lower(): value for name, value in given.items()}
        for uri in uris:
            named = uri.options | named
        if str(named.get("w")) == "0":
            raise ConfigError(
                "Q_CLUSTER['mongo'] has w=0, with which nobody learns that a task was"
                " not stored. Remove it, or set 'w': 1 or 'majority'."
            )
        arguments = {name: value for name, value in given.items() if value is not None}
        # Nothing connects before the first call, whatever the project says.
        arguments["connect"] = False
        defaults = {
            "serverSelectionTimeoutMS": SERVER_SELECTION_MS,
            "socketTimeoutMS": round(reply_seconds * 1000),
            "appname": "qcore",
            # A replica set that answers for its majority does so anyway; a single
            # server would lose the last 100 ms of tasks when it is killed.
            "journal": True,
        }
        arguments |= {
            name: value for name, value in defaults.items() if name.lower() not in named
        }
        default = next((uri.database for uri in uris if uri.database), DEFAULT_DATABASE)
        port = given.get("port") or 27017
        return cls(
            arguments=arguments,
            database=conf.options.get("mongo_db") or default,
            address=_address(hosts, port) if not uris else ",".join(map(str, uris)),
            bounded=not named.keys().isdisjoint(_TIME_OUTS),
        )


@dataclass(frozen=True, slots=True)
class _Uri:
    """What has to be known of a URI before the driver sees it."""

    scheme: str
    hosts: str
    database: str
    options: dict[str, str]  # by names in lower case, as the driver compares them

    @classmethod
    def parse(cls, uri: str) -> _Uri:
        scheme, _, rest = uri.partition("://")
        path, _, query = rest.partition("?")
        authority, _, database = path.partition("/")
        words = (word.partition("=") for word in re.split("[&;]", query) if word)
        options = {name.lower(): value for name, _, value in words}
        _check_names(options, " in the URI")
        if scheme != "mongodb+srv":  # that one would be looked up in the DNS
            database = _parsed(uri).get("database") or ""
        # the driver takes "database.collection" where we want the first part
        database = database.partition(".")[0]
        return cls(scheme, authority.rpartition("@")[2], database, options)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.hosts}"


def _parsed(uri: str) -> Mapping[str, Any]:
    """Have the driver judge a URI; MongoClient itself would only warn and go on."""
    try:
        found: Mapping[str, Any] = parse_uri(uri, validate=True, warn=False)
    except (PyMongoError, TypeError, ValueError) as error:
        # Its text may hold a part of a password in which something is not escaped.
        shown = mask_url(uri)
        reason = "" if "@" in uri or shown != uri else f": {error}"
        raise ConfigError(
            f"Q_CLUSTER['mongo']: {shown!r} is not a URI of MongoDB{reason}."
            f" {_EXPECTED}"
        ) from None
    return found


def _hosts(host: object) -> list[str]:
    if host is None:
        return ["localhost"]
    hosts = [host] if isinstance(host, str) else host
    if not isinstance(hosts, list | tuple) or not all(
        isinstance(one, str) for one in hosts
    ):
        raise ConfigError(
            "Q_CLUSTER['mongo']['host']: expected a name, a URI or a list of them, not"
            f" {type(host).__name__}"
        )
    return list(hosts)


def _address(hosts: list[str], port: object) -> str:
    names = [name for host in hosts for name in host.split(",")]
    return ",".join(name if ":" in name else f"{name}:{port}" for name in names)


def _check_names(given: Mapping[str, object], where: str) -> None:
    signature = inspect.signature(pymongo.MongoClient.__init__).parameters
    known = {*VALIDATORS, *signature} - {"self", "kwargs"}
    for name in given:
        if name.lower() not in known:
            near = did_you_mean(name.lower(), known)
            raise ConfigError(
                f"Q_CLUSTER['mongo']: unknown option {name!r}{where}{near}"
            )
