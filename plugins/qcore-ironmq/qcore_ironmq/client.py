"""iron-mq's HTTP client, with what it lacks.

That is: a limit to how long a reply may take, connections that are used again, and an
end to its own retries, in which a web request would wait 15 seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import iron_core  # type: ignore[import-untyped]
import iron_mq
import requests

# Seconds to connect. A web request must learn soon that a task cannot be sent.
CONNECT_SECONDS = 1.5


class Client(iron_core.IronClient):  # type: ignore[misc]
    """Sends the requests of ``iron_mq.Queue``.

    Args:
        arguments: of ``iron_core.IronClient``.

    Raises:
        ValueError: project or credentials are nowhere to be found.
    """

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        driver = iron_mq.IronMQ
        super().__init__(
            name=driver.NAME,
            version=driver.VERSION,
            product="iron_mq",
            **{"api_version": driver.API_VERSION, **arguments},
        )
        #: How long the next replies may take, in seconds.
        self.reply_seconds = 0.0
        self._session: requests.Session | None = None

    def request(
        self,
        url: str,
        method: str,
        body: str = "",
        headers: Mapping[str, str] | None = None,
        retry: bool = True,
    ) -> dict[str, Any]:
        """Send one request, once; the arguments are those of the base class.

        Raises:
            requests.RequestException: no reply, or one with a status from 400 on.
        """
        result: dict[str, Any] = super().request(
            url, method, body, headers or {}, retry=False
        )
        return result

    def _doRequest(  # noqa: N802 - the name is the base class's
        self, url: str, method: str, body: str, headers: Mapping[str, str]
    ) -> requests.Response:
        if self._session is None:
            self._session = requests.Session()
        token = self.token_provider.getToken()
        response = self._session.request(
            method,
            url,
            data=body,
            headers={**headers, "Authorization": f"OAuth {token}"},
            auth=_leave,
            timeout=(CONNECT_SECONDS, self.reply_seconds),
            # a POST that follows a redirect becomes a GET
            allow_redirects=False,
        )
        # without it, the base class raises KeyError
        response.headers.setdefault("Content-Type", "text/plain")
        return response

    def close(self) -> None:
        """Disconnect; the next request connects again."""
        if self._session is not None:
            self._session.close()
            self._session = None


class Service(iron_mq.IronMQ):  # type: ignore[misc]
    """iron-mq's own face, over our client."""

    def __init__(self, client: Client) -> None:
        self.client = client


def _leave(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep our Authorization, where requests would put that of a .netrc."""
    return request
