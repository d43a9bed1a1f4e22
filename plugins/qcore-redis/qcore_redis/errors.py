"""What Redis or its driver raises, told in qcore's words: fact, then what to do."""

from __future__ import annotations

import re

from redis import exceptions

from qcore.errors import BrokerError, BrokerUnavailable
from qcore.masking import mask_url

#: What the user of an ACL must be allowed, as words of ACL SETUSER.
PERMISSIONS = (
    "~{qcore:* +ping +info +select +xadd +xreadgroup +xack +xdel +xclaim +xpending"
    " +xrange +xlen +xgroup|create +eval +evalsha +time +zadd +zrem +zrange"
    " +zrangebyscore +zcard +hset +hget +hdel +del +pexpire"
)

# redis-py takes the code off the message of these; a subclass stands before its base.
_BY_CLASS = (
    (exceptions.AuthenticationError, "NOAUTH"),
    (exceptions.NoPermissionError, "NOPERM"),
    (exceptions.OutOfMemoryError, "OOM"),
    (exceptions.NoScriptError, "NOSCRIPT"),
    (exceptions.MovedError, "MOVED"),
    (exceptions.AskError, "ASK"),
    (exceptions.TryAgainError, "TRYAGAIN"),
    (exceptions.MasterDownError, "MASTERDOWN"),
    (exceptions.ClusterDownError, "CLUSTERDOWN"),
    (exceptions.ReadOnlyError, "READONLY"),
    (exceptions.ClusterCrossSlotError, "CROSSSLOT"),
    (exceptions.BusyLoadingError, "LOADING"),
)
# The message of a failed script holds the code of its command somewhere within.
_IN_TEXT = re.compile(
    r"\b(NOGROUP|UNBLOCKED|NOSCRIPT|OOM|MISCONF|NOPERM|READONLY|BUSY|NOREPLICAS"
    r"|WRONGTYPE|CROSSSLOT)\b"
)

_PASSING = {
    "LOADING": "it is still loading its data",
    "READONLY": "it is a replica, which takes no writes; a failover may be under way",
    "BUSY": "it is busy with a script; SCRIPT KILL ends that",
    "MASTERDOWN": "it is a replica that has lost its master",
    "CLUSTERDOWN": "its cluster is down",
    "TRYAGAIN": "its cluster is moving this queue to another node",
    "ASK": "its cluster is moving this queue to another node",
    "MOVED": "its cluster keeps moving this queue",
    "NOREPLICAS": "it has too few replicas to take writes (min-replicas-to-write)",
}
_LASTING = {
    "NOAUTH": "refuses the password. Set 'username' and 'password' of Q_CLUSTER['redis']"
    " or of the URL",
    "NOPERM": "does not let this user run a command or use a key. The broker needs: ACL"
    f" SETUSER <user> {PERMISSIONS} (and from Redis 7.2 on +client|setinfo)",
    "OOM": "has no memory left: nothing more can be enqueued, and clusters still work"
    " the queue off. Raise its 'maxmemory', or start more workers",
    "MISCONF": "refuses writes, because it cannot save to its disk. Look into its log",
    "WRONGTYPE": "holds another kind of value under a key of this queue. Choose another"
    " 'db' or name",
    "CROSSSLOT": "keeps the keys of this queue on different nodes. Please report it",
}


# Signs in a message that has no code, and what they mean; none of it will go away.
_BY_TEXT = {
    "SELECT is not allowed in cluster mode": "is a node of a Redis Cluster, which has"
    " database 0 only. Set 'db' of Q_CLUSTER['redis'], or of the URL, to 0",
    "CERTIFICATE_VERIFY_FAILED": "has a certificate that is not trusted. Set"
    " 'ssl_ca_certs' of Q_CLUSTER['redis'] (of a URL: ?ssl_ca_certs=) to the file of the"
    " authority that signed it",
    "WRONG_VERSION_NUMBER": "does not speak TLS. Set 'ssl' of Q_CLUSTER['redis'] to"
    " False, or write redis:// for rediss://, or give the port for TLS",
    "unknown command": "does not know a command: it is a Sentinel, or older than Redis"
    " 6.2. For Sentinel set Q_CLUSTER['redis'] to {'sentinels': ['host:26379'],"
    " 'service_name': 'mymaster'}",
}


class NoGroup(BrokerUnavailable):
    """The stream or its consumer group is gone, as after FLUSHALL."""


class KeysApart(BrokerError):
    """The keys of a script are on different nodes of a Redis Cluster."""


class NoScript(BrokerUnavailable):
    """The server does not have a script, as after a restart or SCRIPT FLUSH."""


def code(error: Exception) -> str:
    """Return the code that Redis gave, such as ``OOM``; empty when it gave none known."""
    for kind, name in _BY_CLASS:
        if isinstance(error, kind):
            return name
    if "unauthenticated" in str(error):
        return "NOAUTH"  # so it is told for a command of more than ten words
    found = _IN_TEXT.search(str(error))
    return found[1] if found else ""


def without_password(error: Exception) -> Exception:
    """Return an error of the driver, without its frames where they hold the password.

    They would be shown on an error page, with their local variables.
    """
    if code(error) == "NOAUTH":
        error.__context__ = None
        return error.with_traceback(None)
    return error


def translate(error: Exception, address: str) -> BrokerError:
    """Return the error to raise instead of what the driver raised.

    Args:
        error: of redis-py, or an OSError.
        address: the server's URL without secrets.
    """
    name = code(error)
    text = mask_url(str(error)).rstrip(".")
    for sign, problem in _BY_TEXT.items():
        if sign in text:
            return BrokerError(f"Redis at {address} {problem}. It says: {text}.")
    if name in ("NOGROUP", "UNBLOCKED"):
        return NoGroup(text)
    if name == "NOSCRIPT":
        return NoScript(text)
    if name in _LASTING:
        kind = KeysApart if name == "CROSSSLOT" else BrokerError
        return kind(f"Redis at {address} {_LASTING[name]}. It says: {text}.")
    if name in _PASSING:
        reason = f"{_PASSING[name]}. It says: {text}"
        return BrokerUnavailable(f"Redis at {address} is unavailable: {reason}.")
    if "No master found" in text:
        return BrokerUnavailable(
            f"Redis at {address} cannot be reached: Sentinel names no master: {text}."
            " Check 'sentinels' and 'service_name' of Q_CLUSTER['redis'], and that the"
            " Sentinels run."
        )
    if isinstance(error, exceptions.ResponseError):
        return BrokerError(
            f"Redis at {address} refused a command: {text}. Check Q_CLUSTER['redis'],"
            " and that it is Redis 6.2 or later."
        )
    return BrokerUnavailable(
        f"Redis at {address} cannot be reached: {text}. Check that it runs there, or set"
        " Q_CLUSTER['redis'] to where it does."
    )
