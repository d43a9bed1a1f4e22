"""Patches of the standard library under which a cluster does not work."""

from __future__ import annotations

import _thread
import os
import select
import signal
import socket
import subprocess
import time

from ..errors import ConfigError

#: What the processes of a cluster are made of.
_NEEDED = (
    *((os, "fork"), (os, "waitpid"), (select, "select"), (signal, "signal")),
    *((socket, "socket"), (subprocess, "Popen"), (time, "sleep")),
    (_thread, "start_new_thread"),
)
_PATCHERS = ("gevent", "eventlet")


def refuse() -> None:
    """Refuse to run a cluster on a standard library that gevent or eventlet has patched.

    There the deaths of workers are hidden from who waits for them, and what should block
    one thread blocks all of them. Web processes may use both.

    Raises:
        ConfigError: it is patched; the message says by whom and what to do.
    """
    for module, name in _NEEDED:
        found = getattr(module, name, None)
        owner = str(getattr(found, "__module__", "")).partition(".")[0]
        if owner in _PATCHERS:
            raise ConfigError(
                f"{owner} has patched the standard library of this process"
                f" ({module.__name__}.{name}). A cluster needs the original library, because"
                " it would not notice the death of a worker. Remove the patch from the"
                " settings. If manage.py calls monkey.patch_all() or monkey_patch(), start"
                " the cluster with `qcore cluster`. Web processes may keep the patch."
            )
