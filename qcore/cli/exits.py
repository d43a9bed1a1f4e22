"""Exit codes that scripts can rely on."""

from __future__ import annotations

from ..errors import BrokerUnavailable, ConfigError, PluginError, QcoreError

OK = 0
FAILURE = 1
USAGE = 2  # the command line, the settings, a plugin or the tables are wrong
UNHEALTHY = 3  # no cluster is running, or something has a problem
REFUSED = 5  # this system cannot do it, or a file is in the way
TEMPORARY = 75  # the broker is down; EX_TEMPFAIL of sysexits.h: try again
INTERRUPTED = 130  # 128 + SIGINT, as shells count

EPILOG = """\
exit codes:
  0  done                                3  no cluster is running, or one has
  1  failed                                 a problem (monitor, info, memory,
  2  the command line, the settings         doctor, health); nothing is known
     or the tables are wrong                of the task (task)
                                         5  refused on this system, or as a
                                            file is in the way
                                        75  the broker cannot be reached now
"""


def code_of(error: QcoreError) -> int:
    """Return the exit code that tells a script what kind of error it was."""
    if isinstance(error, BrokerUnavailable):
        return TEMPORARY
    if isinstance(error, ConfigError | PluginError):
        return USAGE
    return FAILURE
