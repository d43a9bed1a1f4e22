"""How the setting ``iron_mq`` becomes a client, and what is refused."""

from __future__ import annotations

import copy
import json
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qcore.brokers.tools import pack
from qcore.conf import Conf
from qcore.errors import ConfigError, PayloadTooLarge, Unsupported
from qcore_ironmq.batches import (
    FRAME_BYTES,
    MAX_BATCH,
    MAX_REQUEST,
    message_bytes,
    package_room,
    request_room,
)
from qcore_ironmq.broker import IronMQBroker
from qcore_ironmq.client import Client
from qcore_ironmq.options import Options

# As the manual prints it.
DOCUMENTED = {
    "name": "IronBroker",
    "workers": 8,
    "timeout": 30,
    "retry": 60,
    "queue_limit": 50,
    "bulk": 10,
    "iron_mq": {
        "host": "mq-aws-us-east-1.iron.io",
        "token": "Et1En7.....0LuW39Q",
        "project_id": "500f7b....b0f302e9",
    },
}
COMPLETE = {"host": "h", "token": "t", "project_id": "p"}
Write = Callable[..., None]


def client(setting: dict[str, Any]) -> Client:
    return Options.read(Conf.from_dict({"iron_mq": setting})).make_client()


def broker(**settings: Any) -> IronMQBroker:
    return IronMQBroker(Conf.from_dict({"iron_mq": COMPLETE, **settings}), "shop")


@pytest.fixture
def write_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write ``~/.iron.json``."""
    monkeypatch.setenv("HOME", str(tmp_path))

    def write(**content: object) -> None:
        (tmp_path / ".iron.json").write_text(json.dumps(content))

    return write


def test_the_documented_example() -> None:
    settings = copy.deepcopy(DOCUMENTED)
    one = IronMQBroker(Conf.from_dict(settings))
    assert (one.lease, one.max_batch, one.queue) == (60.0, 100, "IronBroker")
    made = client(DOCUMENTED["iron_mq"])  # type: ignore[arg-type]
    assert made.base_url == (
        "https://mq-aws-us-east-1.iron.io/3/projects/500f7b....b0f302e9/"
    )
    assert made.token == "Et1En7.....0LuW39Q"
    assert settings == DOCUMENTED, "the project's settings were changed"


def test_every_keyword_goes_through() -> None:
    given = {
        **COMPLETE,
        "protocol": "http",
        "port": "8080",
        "api_version": 3,
        "path_prefix": "/mq",
        "config_file": None,
        "keystone": None,
        "cloud": None,
    }
    assert client(given).base_url == "http://h:8080/mq/3/projects/p/"


def test_a_cloud_wins_over_a_host() -> None:
    made = client({**COMPLETE, "cloud": "http://mq.example:81/x"})
    assert made.base_url == "http://mq.example:81/x/3/projects/p/"


def test_keystone_stands_for_a_token() -> None:
    keystone = {"server": "s", "tenant": "t", "username": "u", "password": "pw"}
    assert client({"project_id": "p", "keystone": keystone}).keystone == keystone
    with pytest.raises(ConfigError, match="Missing keystone keys"):
        client({"project_id": "p", "keystone": {"server": "s"}})


# -- files and variables -----------------------------------------------------------


def test_complete_settings_are_all_there_is(
    write_home: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_home(host="stray", port=1, protocol="http", path_prefix="/stray", token="x")
    monkeypatch.setenv("IRON_MQ_PORT", "2")
    monkeypatch.setenv("IRON_HOST", "stray")
    assert client(COMPLETE).base_url == "https://h/3/projects/p/"
    no_host = {"token": "t", "project_id": "p"}
    host = "mq-aws-us-east-1-1.iron.io"
    assert client(no_host).base_url == f"https://{host}/3/projects/p/"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cloud", "https://stray.example"),
        (
            "keystone",
            {"server": "s", "tenant": "t", "username": "u", "password": "pw"},
        ),
    ],
)
def test_a_stray_that_would_win_is_refused(
    write_home: Write, name: str, value: object
) -> None:
    write_home(**{name: value})
    with pytest.raises(ConfigError, match=f"'{name}' comes from ~/.iron.json"):
        client(COMPLETE)
    assert client({**COMPLETE, name: value})


def test_what_is_missing_comes_from_a_file(write_home: Write) -> None:
    write_home(project_id="of-file", token="of-file", port=8080)
    made = client({"host": "h"})
    assert made.base_url == "https://h:8080/3/projects/of-file/"
    assert client({}).token == "of-file"


def test_what_is_missing_comes_from_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRON_TOKEN", "of-iron")
    monkeypatch.setenv("IRON_MQ_PROJECT_ID", "of-mq")
    monkeypatch.setenv("IRON_MQ_PORT", "8080")
    made = client({"host": "h"})
    assert (made.token, made.project_id, made.port) == ("of-iron", "of-mq", 8080)


def test_a_config_file(tmp_path: Path) -> None:
    path = tmp_path / "mq.json"
    path.write_text(json.dumps({"iron_mq": {"port": 8080}}))
    assert client({**COMPLETE, "config_file": str(path)}).port == 8080


# the client leaves the file open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_file_that_is_no_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "iron.json").write_text("{")
    with pytest.raises(ConfigError, match="makes no client of IronMQ"):
        client({"host": "h"})


# -- mistakes ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({**COMPLETE, "tokn": "t"}, "unknown option 'tokn' - did you mean 'token'"),
        ({"host": "h", "token": "t"}, "No project_id set.*Set 'project_id'"),
        ({"host": "h", "project_id": "p"}, "token or keystone.*Set 'project_id'"),
        ({**COMPLETE, "host": ""}, r"\['host'\] is ''.*not empty"),
        ({**COMPLETE, "port": "http"}, r"\['port'\] is 'http'.*a number"),
        ({**COMPLETE, "port": True}, r"\['port'\] is True.*int"),
        ({**COMPLETE, "protocol": "ftp"}, "expected 'https' or 'http'"),
        ({**COMPLETE, "project_id": 5}, r"\['project_id'\] is 5 \(int\), expected str"),
        ({**COMPLETE, "config_file": "/none.json"}, "a file that exists"),
        ({**COMPLETE, "token": 5}, "expected str"),
        ({**COMPLETE, "token": "hush\n"}, "printable ASCII"),
        ({**COMPLETE, "token": "hüsh"}, "printable ASCII"),
    ],
)
def test_a_wrong_option_is_named(setting: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as raised:
        client(setting)
    assert "Q_CLUSTER['iron_mq']" in str(raised.value)
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"retry": 29}, r"\['retry'\] is 29 s, expected 30 to 86,400.*Write 30"),
        ({"retry": 86_401}, "Write 86400"),
        ({"bulk": 101}, r"\['bulk'\] is 101, expected 1 to 100.*Write 100"),
    ],
)
def test_bounds_of_the_service(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        broker(**settings)


def test_the_bounds_themselves_are_taken() -> None:
    assert broker(retry=30, bulk=100).lease == 30
    assert broker(retry=86_400).lease == 86_400


@pytest.mark.parametrize("name", [".", ".."])
def test_a_queue_that_is_another_address(name: str) -> None:
    with pytest.raises(ConfigError, match="no part of a URL"):
        IronMQBroker(Conf.from_dict({"iron_mq": COMPLETE}), name)


def test_delays_over_a_week() -> None:
    with pytest.raises(Unsupported, match=r"604,800 s. Use a schedule"):
        broker().enqueue(b"a", delay=604_801)
    with pytest.raises(Unsupported, match="604,800 s"):
        broker().release([], delay=604_801)


def test_sizes() -> None:
    with pytest.raises(PayloadTooLarge, match="IronMQ takes up to 196,512"):
        broker().enqueue(b"x" * 196_513)
    small = broker(max_payload=48_000)
    assert small.max_payload == 48_000
    # of the smaller plan, the request counts as a whole
    assert request_room(48_000) == 65_536


def test_packing() -> None:
    def packed(packages: list[bytes]) -> list[list[bytes]]:
        room = MAX_REQUEST - FRAME_BYTES
        return list(pack(packages, count=MAX_BATCH, size=room, measure=message_bytes))

    assert [len(batch) for batch in packed([b"x"] * 250)] == [100, 100, 50]
    largest = b"x" * package_room(MAX_REQUEST)
    batches = packed([largest, b"a", largest, b"b", b"c"])
    assert batches == [[largest], [b"a"], [largest], [b"b", b"c"]]
    for batch in batches:
        bodies = [b64encode(package).decode() for package in batch]
        messages = [{"body": body, "delay": 604_800} for body in bodies]
        assert len(json.dumps({"messages": messages})) <= MAX_REQUEST
