"""Secrets are hidden in values, in URLs and in prose that contains URLs."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcore.masking import is_secret, mask, mask_arguments, mask_url


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://user:pw@h:6379/0", "redis://user:***@h:6379/0"),
        ("redis://:pw@h", "redis://:***@h"),
        ("https://public@sentry.io/1", "https://***@sentry.io/1"),
        ("mongodb+srv://u:p@h1,h2:2/db?x=1", "mongodb+srv://u:***@h1,h2:2/db?x=1"),
        ("redis://u:p@ss@h/0", "redis://u:***@h/0"),
        ("redis://u:p/ss@h/0", "redis://u:***@h/0"),
        ("redis://u:p/s@s@h/0", "redis://u:***@h/0"),
        ("redis://u:p?s#s@h/0", "redis://u:***@h/0"),
        ("redis://u:pw@[::1]:1/0", "redis://u:***@[::1]:1/0"),
        ("rediss://h/0?password=pw&db=1", "rediss://h/0?password=***&db=1"),
        ("host=h password=pw dbname=d", "host=h password=*** dbname=d"),
        ("{'db': 0, 'password': 'p w'}", "{'db': 0, 'password': ***}"),
        ("Error 111 to redis://u:pw@h:1.", "Error 111 to redis://u:***@h:1."),
        (
            "from redis://a:x@h1 to redis://b:y@h2",
            "from redis://a:***@h1 to redis://b:***@h2",
        ),
    ],
)
def test_secrets_in_text(text: str, shown: str) -> None:
    assert mask_url(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "redis://h:6379/0",
        "https://[::1]:80/@user",
        "https://example.org/@user/posts?at=a@b",
        "mongodb://h1:1,h2:2/db",
        "invalid username-password pair, write to admin@example.org",
        "group_key=7",
    ],
)
def test_text_without_a_secret_stays(text: str) -> None:
    assert mask_url(text) == text


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "PASSWORD",
        "aws_secret_access_key",
        "token",
        "disque_auth",
        "dsn",
        "signing_keys",
        "passwd",
        "db_pwd",
        "credentials",
    ],
)
def test_names_of_secrets(key: str) -> None:
    assert is_secret(key)
    assert mask({key: "canary"}) == {key: "***"}
    assert mask({key: ["canary", {"x": "canary"}]}) == {key: "***"}


@pytest.mark.parametrize("key", ["host", "port", "workers", "retry", "project_id"])
def test_other_names(key: str) -> None:
    assert mask({key: "shown"}) == {key: "shown"}


def test_arguments_keep_what_is_no_secret() -> None:
    passed = {
        "accessToken": "x", "API_KEY": 1, "password": "", "author": "ann", "monkey": 2,
        "when": date(2026, 1, 2), "urls": ("https://u:pw@h", Decimal("1.5")),
        ("a", 1): {"db_pwd": ["x"]},
    }  # fmt: skip
    assert mask_arguments(passed) == {
        "accessToken": "***", "API_KEY": "***", "password": "", "author": "ann",
        "monkey": 2, "when": date(2026, 1, 2),
        "urls": ("https://u:***@h", Decimal("1.5")), ("a", 1): {"db_pwd": "***"},
    }  # fmt: skip
    assert passed["accessToken"] == "x"


@pytest.mark.parametrize("empty", [None, "", b""])
def test_an_empty_secret_shows_that_none_is_set(empty: Any) -> None:
    assert mask({"password": empty}) == {"password": empty}


def test_values_of_every_kind() -> None:
    class Client:
        def __repr__(self) -> str:
            return "<Client redis://u:canary@h>"

    value = {
        "list": ["redis://u:canary@h"],
        "tuple": ({"token": "canary"},),
        "set": {"redis://u:canary@h"},
        "bytes": b"redis://u:canary@h",
        "object": Client(),
        "number": 1.5,
        "flag": True,
    }
    assert mask(value) == {
        "list": ["redis://u:***@h"],
        "tuple": ({"token": "***"},),
        "set": ["redis://u:***@h"],
        "bytes": "redis://u:***@h",
        "object": "<Client redis://u:***@h>",
        "number": 1.5,
        "flag": True,
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mongodb://ann:canary/", "mongodb://ann:***"),
        ("redis://ann:9canary/0?db=1", "redis://ann:***"),
        ("cannot reach http://h1:8080, retry", "cannot reach http://h1:8080, retry"),
        ("(see http://h1:8080.)", "(see http://h1:8080.)"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        ("mongodb://h1:1,h2:2/?w=1", "mongodb://h1:1,h2:2/?w=1"),
        ("mongodb://%2Ftmp%2Fa.sock/x", "mongodb://%2Ftmp%2Fa.sock/x"),
    ],
)
def test_a_url_whose_host_was_forgotten(text: str, shown: str) -> None:
    assert mask_url(text) == shown


PRINTABLE = st.characters(min_codepoint=33, max_codepoint=126)


@given(st.text(PRINTABLE, max_size=20))
def test_no_password_is_left_in_a_url(noise: str) -> None:
    password = f"x{noise}canary"
    assert "canary" not in mask_url(f"redis://user:{password}@host:6379/0")


@pytest.mark.parametrize("unit", ["a", "a.", "token", ":", "a,", "://", "@", "-"])
@pytest.mark.timeout(20)
def test_long_text_is_masked_in_reasonable_time(unit: str) -> None:
    # A nested repetition in a pattern would need longer than the world has existed.
    text = unit * 2000
    assert mask_url(text) == text
    mask_url(f"x://{text}!@")
