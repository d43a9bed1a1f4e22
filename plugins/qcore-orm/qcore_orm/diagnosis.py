"""What is right and wrong with a server as the place of a queue; for ``qcore doctor``."""

from __future__ import annotations

from qcore.findings import Finding, ok, warning

#: Connections of a cluster besides one for each worker, as pg_stat_activity shows
#: them: pusher, its listener, recorder, renewal, scheduler and status.
OF_A_DISPATCHER = 6
#: Seconds after which a transaction hinders the database more than a report explains.
LONG_TRANSACTION = 300
#: Seconds for which PgBouncer does not try again to reach a server, by default.
LOGIN_RETRY = 15.0
# What keeps a client, a backup and an administrator from being turned away.
NEARLY_FULL = 0.9


def connections(limit: int, used: int, workers: int) -> list[Finding]:
    """Judge the connections that a server gives.

    Args:
        limit: how many it gives to ordinary users.
        used: how many are open now, those of running clusters included.
        workers: of one cluster.
    """
    need = workers + OF_A_DISPATCHER
    state = f"the server gives {limit:,} connections, {used:,} are open"
    if need > limit:
        return [
            warning(
                f"{state}; one cluster of {workers:,} workers takes up to {need:,}",
                "Raise max_connections of the server, or lower Q_CLUSTER['workers'].",
            )
        ]
    if used > NEARLY_FULL * limit:
        return [
            warning(
                f"{state}: soon others are turned away",
                "Raise max_connections of the server, or run fewer workers.",
            )
        ]
    return [ok(f"{state}; one cluster takes up to {need:,}")]


def pooler(*, is_there: bool, poll: float, lease: float) -> list[Finding]:
    """Judge a pooler between Django and the server.

    Args:
        is_there: whether there is one.
        poll: setting, seconds.
        lease: setting ``retry``, seconds.
    """
    if not is_there:
        return []
    state = (
        "a pooler, such as PgBouncer, is between Django and the server; in its transaction"
        f" mode an idle cluster finds a task by looking every {poll:g} s"
    )
    if lease > LOGIN_RETRY:
        return [ok(state)]
    return [
        warning(
            f"{state}; after a restart of the server it waits for server_login_retry,"
            f" {LOGIN_RETRY:g} s by default, which is longer than a lease of {lease:g} s",
            "Set server_login_retry of PgBouncer to 1, or raise Q_CLUSTER['retry'].",
        )
    ]


def transactions(seconds: float | None) -> list[Finding]:
    """Judge the age of the oldest transaction of others; None: there is none."""
    if seconds is None or seconds < LONG_TRANSACTION:
        return []
    return [
        warning(
            f"a transaction has been open for {seconds:,.0f} s: until it ends, finished"
            " tasks are not cleared away, and claims become slow",
            "Find it: SELECT pid, state, xact_start, query FROM pg_stat_activity ORDER"
            " BY xact_start. Set idle_in_transaction_session_timeout.",
        )
    ]


def journal(mode: str) -> list[Finding]:
    """Judge the journal of an SQLite file."""
    if mode == "wal":
        return [ok("the SQLite file is in WAL mode")]
    return [
        warning(
            f"the SQLite file is in journal mode {mode}: those who read and those who"
            " write wait for each other",
            "Set 'init_command': 'PRAGMA journal_mode=WAL;' in the OPTIONS of the"
            " database.",
        )
    ]


def patience(seconds: float) -> list[Finding]:
    """Judge how long SQLite waits for a lock."""
    if seconds >= 20:
        return []
    return [
        warning(
            f"SQLite gives up on a lock after {seconds:g} s",
            "Set 'timeout': 20 in the OPTIONS of the database.",
        )
    ]


def beginnings(mode: str) -> list[Finding]:
    """Judge how Django begins a transaction on SQLite."""
    if mode == "IMMEDIATE":
        return []
    return [
        warning(
            f"SQLite transactions begin {mode or 'DEFERRED'}: one that reads before it"
            " writes fails when a cluster writes in between",
            "Set 'transaction_mode': 'IMMEDIATE' in the OPTIONS of the database.",
        )
    ]


def packets(largest: int, max_payload: int) -> list[Finding]:
    """Judge the longest statement of MySQL; escapes may double a package."""
    if largest >= 2 * max_payload:
        return []
    return [
        warning(
            f"max_allowed_packet is {largest:,} bytes; a package of max_payload"
            f" ({max_payload:,} bytes) may not fit",
            f"SET GLOBAL max_allowed_packet = {2 * max_payload}; or lower max_payload.",
        )
    ]
