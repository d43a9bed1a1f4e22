"""Options of ``rollbar.init``, checked before they are used."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from typing import Any

import rollbar

from qcore.errors import ConfigError, did_you_mean

logger = logging.getLogger("qcore.reporter.rollbar")

SETTING = "Q_CLUSTER['error_reporter']['rollbar']"

#: What is set unless the project sets it.
DEFAULTS: dict[str, Any] = {
    "allow_logging_basic_config": False,  # the log is the project's
    "log_payload_on_error": False,  # what Rollbar refuses is not for the log either
}


def init(options: Mapping[str, Any]) -> None:
    """Initialise rollbar for this process.

    Raises:
        ConfigError: the access token is missing.
    """
    if not options.get("access_token") and options.get("handler") != "agent":
        raise ConfigError(
            f"{SETTING} has no 'access_token', and the project has not called"
            " rollbar.init(). Write 'access_token': '<token>', as Rollbar shows it"
            " under Project Access Tokens (post_server_item)."
        )
    known = {*inspect.signature(rollbar.init).parameters, *rollbar.SETTINGS} - {"kw"}
    for name in sorted(set(options) - known):
        # rollbar takes any name, and would send to the wrong place without a word
        near = did_you_mean(name, known)
        logger.warning("%s: rollbar has no option %r%s", SETTING, name, near)
    given = {"access_token": None, **DEFAULTS, **options}
    # variables of frames are where secrets are
    given["locals"] = {"enabled": False, **(options.get("locals") or {})}
    rollbar.init(**given)
