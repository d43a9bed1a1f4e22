"""How the setting ``sqs`` and the environment become a client of boto3."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from support.own_modules import give_own

from qcore.conf import Conf
from qcore.errors import ConfigError, Unsupported
from qcore.plugins import Registry
from qcore.plugins.choice import choose
from qcore_sqs import session
from qcore_sqs.broker import SQSBroker
from qcore_sqs.connection import Connection
from qcore_sqs.options import Options
from qcore_sqs.session import open_session

Open = Callable[..., SQSBroker]
DOCUMENTED = {
    "name": "SQSExample",
    "workers": 4,
    "timeout": 60,
    "retry": 90,
    "queue_limit": 100,
    "bulk": 5,
    "sqs": {
        "aws_region": "us-east-1",
        "aws_access_key_id": "ac-Idr.....YwflZBaaxI",
        "aws_secret_access_key": "500f7b....b0f302e9",
    },
}


def client(setting: dict[str, Any]) -> Any:
    options = Options.read(Conf.from_dict({"sqs": setting}))
    return open_session(options).client(options, 7.0)


def credentials(setting: dict[str, Any]) -> tuple[str, str]:
    found = client(setting)._request_signer._credentials
    return found.access_key, found.secret_key


def place(setting: dict[str, Any]) -> str:
    return Connection(Options.read(Conf.from_dict({"sqs": setting})), 1).place


def test_the_documented_example() -> None:
    conf = Conf.from_dict(DOCUMENTED)
    assert choose(Registry(only=["sqs"]), conf, "broker").name == "sqs"
    broker = SQSBroker(conf)
    assert (broker.queue, broker.lease, broker.max_batch) == ("SQSExample", 90.0, 10)
    setting = DOCUMENTED["sqs"]
    assert credentials(setting) == ("ac-Idr.....YwflZBaaxI", "500f7b....b0f302e9")
    assert place(setting) == "Amazon SQS in us-east-1"
    assert set(setting) == {"aws_region", "aws_access_key_id", "aws_secret_access_key"}


def test_the_environment_and_an_empty_dictionary(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ambient")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ambient too")
    conf = Conf.from_dict({"sqs": {}})
    assert choose(Registry(only=["sqs"]), conf, "broker").name == "sqs"
    assert credentials({}) == ("ambient", "ambient too")
    assert place({}) == "Amazon SQS in eu-north-1"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    assert place({"verify": False}) == "SQS at http://127.0.0.1:4566 (eu-north-1)"


def test_a_profile(tmp_path: Path) -> None:
    Path(os.environ["AWS_CONFIG_FILE"]).write_text(
        "[profile shop]\nregion = sa-east-1\naws_access_key_id = of-shop\n"
        "aws_secret_access_key = of-shop-too\n"
    )
    setting = {"profile_name": "shop"}
    assert credentials(setting) == ("of-shop", "of-shop-too")
    assert place(setting) == "Amazon SQS in sa-east-1"


def test_none_means_the_default() -> None:
    """As it comes from ``os.environ.get()``."""
    names = ("aws_access_key_id", "aws_secret_access_key", "endpoint_url", "config")
    setting = {"region_name": "eu-west-1", **dict.fromkeys(names)}
    assert place(setting) == "Amazon SQS in eu-west-1"


def test_time_limits_and_retries() -> None:
    """Nothing is repeated behind our back; what a project says itself wins."""
    own = client({"aws_region": "eu-west-1"}).meta.config
    assert (own.connect_timeout, own.read_timeout) == (1.5, 7.0)
    assert own.retries["total_max_attempts"] == 1
    given = Config(read_timeout=33, retries={"total_max_attempts": 4})
    theirs = client({"aws_region": "eu-west-1", "config": given}).meta.config
    assert (theirs.connect_timeout, theirs.read_timeout) == (1.5, 33)
    assert theirs.retries["total_max_attempts"] == 4


def test_threads_share_a_session_and_processes_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = Options.read(Conf.from_dict({"sqs": {"aws_region": "eu-west-1"}}))
    first = open_session(options)
    assert open_session(options) is first
    give_own(monkeypatch, session, "os", getpid=lambda: -1)
    assert open_session(options) is not first


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"aws_regoin": "x"}, "unknown option 'aws_regoin' - did you mean"),
        ({"aws_region": "x", "region_name": "y"}, "both 'aws_region' and 'region_n"),
        ({"aws_region": 7}, "is 7 .int., expected a text"),
        ({"aws_secret_access_key": b"hush"}, r"is '\*\*\*' .bytes., expected a text"),
        ({"aws_access_key_id": "a"}, "and no 'aws_secret_access_key'. Set both"),
        ({"aws_region": "two words"}, "make no client of SQS.*Check region"),
        ({"endpoint_url": "localhost:4566"}, "make no client of SQS.*localhost"),
        ({"profile_name": "nobody"}, "make no client of SQS.*nobody"),
        ({"config": {}}, "expected a botocore.config.Config"),
        ({"receive_message_wait_time_seconds": 21}, "seconds from 1 to 20"),
        ({"receive_message_wait_time_seconds": 0}, "seconds from 1 to 20"),
        ({"receive_message_wait_time_seconds": "5"}, "'5' .str., expected a whole"),
        ({"aws_region": None}, "names no region.*AWS_DEFAULT_REGION"),
    ],
)
def test_a_wrong_option_is_named(
    open_broker: Open, setting: dict[str, object], told: str
) -> None:
    with pytest.raises(ConfigError, match=told) as raised:
        open_broker("http://127.0.0.1:1", sqs=_only(setting)).ping()
    assert "Q_CLUSTER['sqs']" in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1
    assert "hush" not in str(raised.value)


def _only(setting: dict[str, object]) -> dict[str, object]:
    """Take the other half of the keys out, so that they stand alone."""
    if setting.keys() == {"aws_access_key_id"}:
        return {**setting, "aws_secret_access_key": None}
    if "region_name" in setting:
        return setting
    return {"aws_region": "eu-west-1", **setting}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"bulk": 11}, r"'bulk'\] is 11, expected 1 to 10.*Write 10"),
        ({"retry": 43_201}, r"'retry'\] is 43201 s, expected 43,200 or less"),
        ({"queue": "a shop & more"}, "Write 'a-shop-more'"),
        ({"queue": "x" * 81}, "expected 1 to 80 letters"),
        ({"queue": "näme"}, "Write 'n-me'"),
        ({"queue": "shop.fifo"}, "is a FIFO queue.*Write 'shop'"),
    ],
)
def test_settings_out_of_the_bounds_of_sqs(
    open_broker: Open, settings: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        open_broker("http://127.0.0.1:1", **settings)


def test_bulk_that_nobody_has_set_is_no_error(open_broker: Open) -> None:
    assert open_broker("http://127.0.0.1:1").conf.fetch_limit > 10
    assert open_broker("http://127.0.0.1:1", bulk=10).conf.fetch_limit == 10


def test_delays_out_of_the_bounds_of_sqs(open_broker: Open) -> None:
    broker = open_broker("http://127.0.0.1:1")
    with pytest.raises(Unsupported, match=r"SQSBroker cannot delay .* is 900 s. Use a"):
        broker.enqueue(b"a", delay=901)
    with pytest.raises(Unsupported, match="43,200"):
        broker.release([], delay=43_201)
