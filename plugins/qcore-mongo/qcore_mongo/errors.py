"""What MongoDB or its driver raises, told in qcore's words: fact, then what to do."""

from __future__ import annotations

from typing import Any

from pymongo import errors

from qcore.errors import BrokerError, BrokerUnavailable
from qcore.masking import mask_url

# Codes of src/mongo/base/error_codes.yml.
UNAUTHORIZED = 13
AUTHENTICATION_FAILED = 18
NO_ROOM = {12501, 14031}  # a quota, OutOfDiskSpace
# It elects, ends, is overloaded, or somebody dropped the collection under our feet.
PASSING = {
    6,  # HostUnreachable
    7,  # HostNotFound
    24,  # LockTimeout
    43,  # CursorNotFound
    50,  # MaxTimeMSExpired
    64,  # WriteConcernTimeout
    89,  # NetworkTimeout
    91,  # ShutdownInProgress
    112,  # WriteConflict
    134,  # ReadConcernMajorityNotAvailableYet
    175,  # QueryPlanKilled
    189,  # PrimarySteppedDown
    237,  # CursorKilled
    262,  # ExceededTimeLimit
    276,  # IndexBuildAborted
    9001,  # SocketException
    10058,  # LegacyNotPrimary
    10107,  # NotWritablePrimary
    11600,  # InterruptedAtShutdown
    11602,  # InterruptedDueToReplStateChange
    13388,  # StaleConfig
    13435,  # NotPrimaryNoSecondaryOk
    13436,  # NotPrimaryOrSecondary
}
# The server had begun, and how far it came it does not say.
_UNSURE = {50, 64, 91, 175, 189, 262, 11600, 11602}
_PASSING_LABELS = ("RetryableWriteError", "TransientTransactionError")
# Messages of refused commands print the command, and with it whole packages.
_LONGEST_TEXT = 300


def translate(error: Exception, address: str, database: str) -> BrokerError:
    """Return the error to raise instead of what the driver raised.

    Args:
        error: of pymongo or of the system.
        address: of the server, without secrets.
        database: that of the queues.
    """
    where = f"MongoDB at {address}"
    if isinstance(error, errors.OperationFailure):
        return _refused(error, where, database)
    text = _brief(str(error))
    # The driver takes a server that refuses its user for one that is not there.
    if "authentication failed" in text.lower():
        return _no_login(where, text)
    if isinstance(error, errors.ConfigurationError) and "wire version" in text:
        return BrokerError(f"{where} does not fit this pymongo: {text}.")
    if isinstance(error, errors.DocumentTooLarge):
        return BrokerError(f"{where} takes no package of this size: {text}.")
    return BrokerUnavailable(
        f"{where} cannot be reached: {text}. Check that it runs there, or set"
        " Q_CLUSTER['mongo'] to where it does."
    )


def progress(error: Exception) -> tuple[int, bool]:
    """Return how many writes of a call are done, and whether that is all of them.

    Args:
        error: of a bulk of upserts, which ends at its first error.
    """
    if isinstance(
        error, errors.ServerSelectionTimeoutError | errors.WaitQueueTimeoutError
    ):
        return 0, True  # no server was asked
    if isinstance(error, errors.NotPrimaryError):
        details: Any = error.details or {}
        return 0, details.get("code") not in _UNSURE
    if isinstance(error, errors.BulkWriteError):
        done = int((error.details or {}).get("nUpserted", 0))
        # the members of a replica set have not all confirmed it: it may be undone
        return (0, False) if _concern_failed(error) else (done, True)
    if isinstance(error, errors.OperationFailure):
        return 0, not codes(error) & _UNSURE
    return 0, not isinstance(error, errors.ConnectionFailure | OSError)


def _concern_failed(error: errors.OperationFailure) -> bool:
    details = error.details or {}
    return bool(details.get("writeConcernErrors") or details.get("writeConcernError"))


def codes(error: errors.OperationFailure) -> set[int]:
    """Return every code that the server gave; servers other than mongod give none."""
    found = {error.code, *(part.get("code") for part in _parts(error))}
    return {code for code in found if isinstance(code, int)}


def _refused(error: errors.OperationFailure, where: str, database: str) -> BrokerError:
    given = codes(error)
    text = _text(error)
    lowered = text.lower()
    if AUTHENTICATION_FAILED in given or "authentication failed" in lowered:
        return _no_login(where, text)
    if UNAUTHORIZED in given or "requires authentication" in lowered:
        return BrokerError(
            f"{where} does not let this user in, or not into this database. Set"
            " 'username' and 'password' of Q_CLUSTER['mongo'], and run:"
            f" db.grantRolesToUser('<user>', [{{role: 'readWrite', db: '{database}'}}])."
            f" It says: {text}."
        )
    if given & NO_ROOM or "space quota" in lowered:
        return BrokerError(
            f"{where} has no room left: nothing more can be enqueued. Add storage, or"
            f" start more workers. It says: {text}."
        )
    if given & PASSING or any(map(error.has_error_label, _PASSING_LABELS)):
        return BrokerUnavailable(
            f"{where} is unavailable: {text}. Try again; if it lasts, check its log."
        )
    return BrokerError(
        f"{where} refused a command: {text}. It must be MongoDB 4.2 or later, or speak"
        " its language: updates with pipelines, $$NOW, $expr."
    )


def _no_login(where: str, text: str) -> BrokerError:
    return BrokerError(
        f"{where} refuses the user or the password. Set 'username', 'password' and"
        " 'authSource' (the database of the user) of Q_CLUSTER['mongo'] or of its URI."
        f" It says: {text}."
    )


def _parts(error: errors.OperationFailure) -> list[dict[str, Any]]:
    """Return the errors inside that of a bulk write, or of a write concern."""
    details: dict[str, Any] = dict(error.details or {})
    concern = details.get("writeConcernError")
    return [
        *details.get("writeErrors", ()),
        *details.get("writeConcernErrors", ()),
        *([concern] if concern else ()),
    ]


def _text(error: errors.OperationFailure) -> str:
    for source in (*_parts(error), error.details or {}):
        if message := source.get("errmsg"):
            return _brief(str(message))
    return _brief(str(error))


def _brief(text: str) -> str:
    """Cut what no reader needs: the topology, and the command with its packages."""
    for end in (", Timeout: ", ", full error: ", " to execute command {"):
        text = text.partition(end)[0]
    return mask_url(text[:_LONGEST_TEXT]).strip().rstrip(".")
