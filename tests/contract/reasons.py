"""Sentences that no test proves, or that hold in another way here, and why.

Where a sentence has a test as well, the reason says what the test does not show.
"""

from __future__ import annotations

_ADVICE = "Advice, and no promise of the software."
_POINTER = "It points to other documentation."
_UNNEEDED = "It is not needed here: qcore asks the operating system itself."

REASONS: dict[str, dict[str, str]] = {
    "workers": {
        "install :ref:`psutil<psutil_package>` to provide an alternative cpu count": (
            _UNNEEDED
        ),
    },
    "daemonize_workers": {
        "be careful with orphaned child processes in case of sudden termination": _ADVICE,
    },
    "max_rss": {
        "or install the :ref:`psutil<psutil_package>` module": _UNNEEDED,
    },
    "timeout": {
        "Set this to something that makes sense for your project.": _ADVICE,
        "See :ref:`retry` for details how to set values for timeout and retry.": _POINTER,
    },
    "queue_limit": {
        "Defaults to ``workers**2``.": (
            "Unset, it grows while tasks take milliseconds, to about 50 ms of work."
        ),
    },
    "save_limit": {
        "Set to ``-1`` for no success storage at all.": (
            "The joined list of an `async_iter` is kept until it is deleted: it is what"
            " was asked for, and there is no other place for it."
        ),
    },
    "iron_mq": {"See the `iron-mq": _POINTER},
    "orm": {
        "you should consider using a different database backend than the main": _ADVICE,
    },
    "bulk": {
        "Setting this on supported brokers can improve performance.": (
            "Measured by `tests/bench`; no test asserts a speed."
        ),
        "Especially HTTP based or very high latency servers can benefit": (
            "Measured by `tests/bench`; no test asserts a speed."
        ),
        "Keep in mind however that settings this too high can degrade": _ADVICE,
        "Not supported by the default Redis broker.": (
            "It is here: qcore's Redis broker reads streams, in batches."
        ),
        "Defaults to ``1``.": (
            "A project that sets it gets it to the letter. Unset, one call asks for as"
            " many as the cluster has room for; what it holds is the same."
        ),
    },
    "poll": {
        "Currently only affects the ORM and MongoDB brokers.": (
            "Of the ORM, PostgreSQL and SQLite are woken by a notice besides."
        ),
    },
    "scheduler": {
        "This will reduce a little overhead": "No test asserts a speed.",
    },
    "error_reporter": {"For more information on error reporters": _POINTER},
    "cpu_affinity": {
        "only useful for tweaking the performance of very high traffic clusters": _ADVICE,
        "setting the cpu affinity for your workers can lead to performance": _ADVICE,
        "Start with an affinity of 1 and work your way up.": _ADVICE,
        "You will have to experiment with what works best for you.": _ADVICE,
        "As a rule of thumb; cpu_affinity 1 favors repetitive short running": _ADVICE,
        "The ``cpu_affinity`` setting requires the optional :ref:`psutil": _UNNEEDED,
        "*Psutil does not support cpu affinity on OS X at this time.*": (
            "Of psutil. macOS has no such call; there the setting has no effect."
        ),
    },
}
