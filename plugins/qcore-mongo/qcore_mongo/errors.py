"""What MongoDB or its driver raises, told in qcore's words: fact, then what to do."""

from __future__ import annotations

from typing import Any

from pymongo import errors

from qcore.errors import BrokerError, BrokerUnavailable
from qcore.masking import mask_url

# Codes of src/mongo/base/error_codes.yml.
UNAUTHORIZED = 13
AUTHENTICATION_FAILED = 18
_QUOTA = {8000: "AtlasError", 14031: "OutOfDiskSpace", 12501: "quota exceeded"}
# It elects, ends, is overloaded, or has dropped the collection under our feet.
_PASSING = {
    6, 7, 24, 43, 46, 50, 64, 79, 89, 91, 100, 112, 134, 175, 189, 202, 237, 246,
    251, 262, 276, 290, 317, 358, 365, 384, 462, 9001, 10058, 10107, 11600, 11602,
    13388, 13435, 13436,
}  # fmt: skip
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
    if isinstance(error, errors.ConfigurationError) and "wire version" in text:
        return BrokerError(f"{where} does not fit this pymongo: {text}.")
    if isinstance(error, errors.DocumentTooLarge):
        return BrokerError(f"{where} takes no package of this size: {text}.")
    return BrokerUnavailable(
        f"{where} cannot be reached: {text}. Check that it runs there, or set"
        " Q_CLUSTER['mongo'] to where it does."
    )


def codes(error: errors.OperationFailure) -> set[int]:
    """Return every code that the server gave; servers other than mongod give none."""
    found = {error.code, *(part.get("code") for part in _parts(error))}
    return {code for code in found if isinstance(code, int)}


def _refused(error: errors.OperationFailure, where: str, database: str) -> BrokerError:
    given = codes(error)
    text = _text(error)
    lowered = text.lower()
    if AUTHENTICATION_FAILED in given or "authentication failed" in lowered:
        return BrokerError(
            f"{where} refuses the user or the password. Set 'username', 'password' and"
            " 'authSource' (the database of the user) of Q_CLUSTER['mongo'] or of its"
            f" URI. It says: {text}."
        )
    if UNAUTHORIZED in given or "requires authentication" in lowered:
        return BrokerError(
            f"{where} does not let this user in, or not into this database. Set"
            " 'username' and 'password' of Q_CLUSTER['mongo'], and run:"
            f" db.grantRolesToUser('<user>', [{{role: 'readWrite', db: '{database}'}}])."
            f" It says: {text}."
        )
    if given & _QUOTA.keys():
        return BrokerError(
            f"{where} has no room left: nothing more can be enqueued. Add storage, or"
            f" start more workers. It says: {text}."
        )
    if given & _PASSING or any(map(error.has_error_label, _PASSING_LABELS)):
        return BrokerUnavailable(
            f"{where} is unavailable: {text}. Try again; if it lasts, check its log."
        )
    return BrokerError(
        f"{where} refused a command: {text}. It must be MongoDB 4.2 or later, or speak"
        " its language: updates with pipelines, $$NOW, $expr."
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
