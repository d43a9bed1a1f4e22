"""Options of ``sentry_sdk.init``, checked before they are used."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import sentry_sdk
from sentry_sdk.consts import DEFAULT_OPTIONS
from sentry_sdk.utils import BadDsn

from qcore.errors import ConfigError, did_you_mean

SETTING = "Q_CLUSTER['error_reporter']['sentry']"

#: What is set unless the project sets it. Variables of frames are where secrets are.
DEFAULTS = {"include_local_variables": False}


def init(options: Mapping[str, Any]) -> None:
    """Initialise sentry_sdk for this process.

    Raises:
        ConfigError: an option is unknown, or the DSN is missing or wrong.
    """
    for name in options:
        if name not in DEFAULT_OPTIONS:
            near = did_you_mean(name, DEFAULT_OPTIONS)
            raise ConfigError(
                f"{SETTING}: unknown option {name!r}{near or _ANY_OPTION}"
            )
    if "dsn" not in options and not os.environ.get("SENTRY_DSN"):
        raise ConfigError(
            f"{SETTING} has no 'dsn', SENTRY_DSN is not set, and the project has not"
            " called sentry_sdk.init(). Write 'dsn': 'https://<key>@<host>/<project>',"
            " or None to send nothing."
        )
    try:
        sentry_sdk.init(**{**DEFAULTS, **options})
    except BadDsn as error:
        # the DSN itself may be nothing but the key, so it is not shown
        raise ConfigError(
            f"{SETTING}['dsn'] is wrong: {error}. Expected"
            " 'https://<key>@<host>/<project>', as Sentry shows it under Client Keys."
        ) from None


_ANY_OPTION = ". It takes the options of sentry_sdk.init"
