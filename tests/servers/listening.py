"""An HTTP server of tests that takes as many connections at once as a real one."""

from __future__ import annotations

from http.server import ThreadingHTTPServer


class Listening(ThreadingHTTPServer):
    """One thread for each connection.

    The standard library lets five connections wait to be accepted. On a busy machine the
    system resets some of fifty that come at once, as no service in the world would.
    """

    daemon_threads = True
    request_queue_size = 128
