"""Amazon SQS broker for qcore."""

from __future__ import annotations

from typing import Any

from qcore import Provider, Setting, hookimpl


@hookimpl
def qcore_brokers() -> list[Provider]:
    """Name the broker; boto3, which takes half a second, is imported on first use."""
    return [Provider("sqs", "qcore_sqs.broker:SQSBroker", claims=("sqs",))]


@hookimpl
def qcore_settings() -> list[Setting]:
    """Describe what the broker reads of Q_CLUSTER."""
    return [
        Setting(
            "sqs",
            dict[str, Any] | None,
            "Amazon SQS: arguments of a boto3 session; {} takes them from the environment.",
            expects="a dict or None",
            secret=True,
            group="broker",
        ),
    ]
