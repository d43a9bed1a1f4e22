"""Amazon SQS broker for qcore."""

from __future__ import annotations

from qcore.hookspecs import hookimpl
from qcore.plugins import Provider


@hookimpl
def qcore_brokers() -> list[Provider]:
    """Name the broker; boto3, which takes half a second, is imported on first use."""
    return [Provider("sqs", "qcore_sqs.broker:SQSBroker", claims=("sqs",))]
