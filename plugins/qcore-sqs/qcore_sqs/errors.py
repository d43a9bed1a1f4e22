"""What SQS or boto3 raises, told in qcore's words: fact, then what to do."""

from __future__ import annotations

from botocore import exceptions

from qcore.errors import BrokerError, BrokerUnavailable, NoReply, QcoreError
from qcore.masking import mask_url

#: What the policy of the user or role must allow on the queue.
PERMISSIONS = (
    "sqs:GetQueueUrl, GetQueueAttributes, CreateQueue, SendMessage, ReceiveMessage,"
    " DeleteMessage, ChangeMessageVisibility, PurgeQueue, DeleteQueue"
)

#: A receipt that counts no more, in the words of AWS and of compatible services.
TOO_LATE = {"ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue"}
#: The call was refused for its number and nothing of it was done.
THROTTLED = {
    "RequestThrottled",
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "SlowDown",
    "KmsThrottled",
}
_NO_QUEUE = {"NonExistentQueue", "QueueDoesNotExist"}
_TAKEN = {"QueueAlreadyExists", "QueueNameExists"}
_PASSING = {
    "PurgeQueueInProgress": "a queue can be purged once in 60 seconds. Try again in a"
    " minute",
    "QueueDeletedRecently": "a queue that was deleted can be made again after 60"
    " seconds. Try again in a minute",
    "OverLimit": "the queue has 120,000 claimed messages, which is the limit. See that"
    " the clusters finish their tasks",
}
_KEYS = (
    "does not accept the credentials. Check 'aws_access_key_id' and"
    " 'aws_secret_access_key' of Q_CLUSTER['sqs'], or what boto3 finds in the"
    " environment"
)
_DENIED = f"does not let this user or role do that. Its policy must allow {PERMISSIONS}"
_LASTING = {
    "InvalidClientTokenId": _KEYS,
    "UnrecognizedClientException": _KEYS,
    "InvalidAccessKeyId": _KEYS,
    "SignatureDoesNotMatch": f"{_KEYS}, and the clock of this host",
    "IncompleteSignature": _KEYS,
    "InvalidSecurity": _KEYS,
    "MissingAuthenticationToken": _KEYS,
    "RequestExpired": "finds the request too old. Check the clock of this host",
    "ExpiredToken": "does not accept a token that has expired. Set a new"
    " 'aws_session_token', or use a role, whose token boto3 renews",
    "AccessDenied": _DENIED,
    "KmsAccessDenied": f"{_DENIED}, and the use of the queue's key",
    "AuthFailure": _DENIED,
}
_UNSENT = exceptions.ConnectionError
_UNREACHED = (exceptions.HTTPClientError, exceptions.ConnectionError, OSError)


class NoQueue(BrokerUnavailable):
    """The queue is not there: not made yet, deleted, or on a service that lost it."""


class NameTaken(BrokerError):
    """The queue is there, made by somebody else a moment ago."""


class Undone(BrokerUnavailable):
    """Some entries of a batch are done, and others are not."""


class Throttled(BrokerUnavailable):
    """There were too many calls; nothing of this one was done."""


def codes(error: exceptions.ClientError) -> set[str]:
    """Return the codes of an error, in the notation of all the protocols of AWS."""
    told = error.response.get("Error", {})
    names = (str(told.get(key, "")) for key in ("Code", "QueryErrorCode"))
    # AWS.SimpleQueueService.NonExistentQueue, com.amazonaws.sqs#QueueDoesNotExist
    bare = {name.rpartition("#")[2].rpartition(".")[2] for name in names if name}
    return bare | {name.removesuffix("Exception") for name in bare}


def struck(error: Exception) -> QcoreError | None:
    """Return the end of a task's time that boto3 took for an error of its own.

    Its signal may strike while the task waits for a reply, and botocore wraps whatever
    is raised there.
    """
    inner = getattr(error, "kwargs", {}).get("error")
    return inner if isinstance(inner, QcoreError) else None


def translate(error: Exception, place: str) -> BrokerError:
    """Return the error to raise instead of what boto3 raised.

    Args:
        error: of botocore, or an OSError.
        place: the name of the service for messages, without secrets.
    """
    text = mask_url(" ".join(str(error).split())).rstrip(".")
    if isinstance(error, exceptions.ClientError):
        return _judge(error, place, text)
    if isinstance(error, exceptions.NoCredentialsError):
        return BrokerError(
            f"{place} needs credentials, and boto3 finds none. Set 'aws_access_key_id'"
            " and 'aws_secret_access_key' in Q_CLUSTER['sqs'], or AWS_ACCESS_KEY_ID and"
            " AWS_SECRET_ACCESS_KEY, or a role."
        )
    if isinstance(error, exceptions.CredentialRetrievalError):
        return BrokerUnavailable(
            f"the credentials for {place} cannot be had now: {text}. Check where boto3"
            " takes them from."
        )
    if isinstance(error, _UNREACHED):
        # no connection: nothing was sent
        kind = BrokerUnavailable if isinstance(error, _UNSENT) else NoReply
        return kind(
            f"{place} cannot be reached: {text}. Check the network and the region, or"
            " 'endpoint_url' of Q_CLUSTER['sqs']."
        )
    return BrokerError(f"boto3 refused a call of {place}: {text}.")


def _judge(error: exceptions.ClientError, place: str, text: str) -> BrokerError:
    found = codes(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if found & _NO_QUEUE:
        return NoQueue(
            f"{place} has no such queue: {text}. Try again, it is then made."
        )
    if found & _TAKEN:
        return NameTaken(f"{place} has this queue already: {text}.")
    if found & THROTTLED or status == 429:
        return Throttled(f"{place} has too many calls now: {text}. Try again later.")
    for code, advice in _PASSING.items():
        if code in found:
            return BrokerUnavailable(f"{place} is busy: {advice}. It says: {text}.")
    for code, advice in _LASTING.items():
        if code in found:
            return BrokerError(f"{place} {advice}. It says: {text}.")
    if status >= 500:
        return NoReply(f"{place} has failed: {text}. Try again later.")
    return BrokerError(f"{place} refused a call: {text}.")
