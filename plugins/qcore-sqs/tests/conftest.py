"""What the tests of the SQS broker share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers.sqs import REGION

from qcore.testing.brokers import opened_brokers
from qcore_sqs.broker import SQSBroker

KEYS = {"aws_access_key_id": "AKIATESTS", "aws_secret_access_key": "s3cret-of-sqs"}

#: ``open_broker(url, queue="", sqs={...}, **settings)`` returns a broker on a new queue,
#: unless ``queue`` names one; ``sqs`` is laid over the options that the servers need.
Open = Callable[..., SQSBroker]


def options(url: str, **others: object) -> dict[str, object]:
    """Return the setting ``sqs`` for an endpoint."""
    return {"aws_region": REGION, "endpoint_url": url, **KEYS, **others}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the variables and files of whoever runs the tests from boto3."""
    for name in ("REGION", "DEFAULT_REGION", "PROFILE", "ENDPOINT_URL"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def open_broker() -> Iterator[Open]:
    """Open brokers and close them after the test."""
    with opened_brokers(SQSBroker) as open_broker:

        def open_one(
            url: str,
            queue: str = "",
            sqs: dict[str, object] | None = None,
            **settings: object,
        ) -> SQSBroker:
            return open_broker({"sqs": options(url, **(sqs or {})), **settings}, queue)

        yield open_one
