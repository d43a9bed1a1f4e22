"""Forked children of a test."""

from __future__ import annotations

import os
import traceback
import warnings
from collections.abc import Callable


def in_child(work: Callable[[], None]) -> int:
    """Run something in a forked child, and return its exit code."""
    with warnings.catch_warnings():
        # Python 3.12 warns where other threads exist, as they may here and not in the
        # sentinel of a cluster; the child ends with os._exit.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:  # noqa: BLE001 - the parent sees the code
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
