"""Settings that are right one by one and contradict each other.

Nothing here stops a cluster; the system checks print each `Advice` as a warning.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from ..conf import Conf


class Advice(msgspec.Struct, frozen=True):
    """One contradiction and the way out of it."""

    id: str
    """``qcore.W001`` and so on; can stand in SILENCED_SYSTEM_CHECKS."""
    message: str
    hint: str


def advice(conf: Conf) -> list[Advice]:
    """Return the contradictions in ``conf``, by id; the empty list for none."""
    return [
        *_leases(conf),
        *_results(conf),
        *_processes(conf),
        *_content(conf),
        *_strays(conf),
    ]


def _leases(conf: Conf) -> Iterator[Advice]:
    if not conf.renews and conf.timeout is not None and conf.timeout >= conf.retry:
        yield Advice(
            "qcore.W001",
            f"retry ({conf.retry} s) must exceed timeout ({conf.timeout} s), or a "
            f"task that runs for more than {conf.retry} s is started again.",
            f"Raise retry above {conf.timeout}, lower timeout, or set 'renew': True.",
        )
    if not conf.renews and conf.timeout is None:
        yield Advice(
            "qcore.W002",
            f"retry is {conf.retry} s, timeout is None and leases are not renewed: a "
            f"task that runs for more than {conf.retry} s is started again, every "
            f"{conf.retry} s.",
            f"Set a timeout below {conf.retry}, or 'renew': True.",
        )
    if conf.poll > conf.retry:
        yield Advice(
            "qcore.W003",
            f"poll ({conf.poll} s) exceeds retry ({conf.retry} s): a lease that ran "
            f"out may go unseen for {conf.poll - conf.retry:g} s longer than it lasted.",
            f"Set poll to {conf.retry} or less.",
        )


def _results(conf: Conf) -> Iterator[Advice]:
    if conf.save_limit_per is not None and conf.save_limit <= 0:
        kept = "all" if conf.save_limit == 0 else "no"
        yield Advice(
            "qcore.W004",
            f"save_limit_per ({conf.save_limit_per!r}) has no effect: with save_limit "
            f"{conf.save_limit}, {kept} successful tasks are kept.",
            "Set save_limit to 1 or more, or leave save_limit_per out.",
        )
    if conf.ack_failures and conf.max_attempts > 1:
        yield Advice(
            "qcore.W005",
            f"max_attempts ({conf.max_attempts}) has no effect on tasks that fail: "
            "with ack_failures True they are acknowledged after attempt 1.",
            "Set ack_failures to False, or leave max_attempts out.",
        )
    for warning in conf.warnings:
        yield Advice("qcore.W006", warning, "Leave the key out.")


def _processes(conf: Conf) -> Iterator[Advice]:
    if conf.cpu_affinity and not conf.affinity:
        yield Advice(
            "qcore.W007",
            f"cpu_affinity ({conf.cpu_affinity}) has no effect: it must be less than "
            "the number of processors of this host.",
            "Lower cpu_affinity, or leave it out.",
        )
    room = conf.queue_limit + conf.workers
    if "bulk" in conf.explicit and conf.bulk > room:
        yield Advice(
            "qcore.W008",
            f"bulk ({conf.bulk}) exceeds the room of one cluster: queue_limit "
            f"({conf.queue_limit}) + workers ({conf.workers}) = {room}.",
            f"Set bulk to {room} or less, or raise queue_limit.",
        )
    # Kubernetes kills a pod 30 seconds after it told it to stop, unless
    # terminationGracePeriodSeconds says otherwise.
    total = conf.shutdown_grace + conf.grace
    if total > 30:
        yield Advice(
            "qcore.W009",
            f"A cluster may take shutdown_grace ({conf.shutdown_grace} s) + grace "
            f"({conf.grace} s) = {total:g} s to stop; Kubernetes kills it after 30 s "
            "unless told otherwise.",
            "Lower shutdown_grace, or raise terminationGracePeriodSeconds and silence "
            "this check.",
        )


def _content(conf: Conf) -> Iterator[Advice]:
    if conf.serializer not in conf.accept_content:
        yield Advice(
            "qcore.W010",
            f"serializer ({conf.serializer!r}) is not in accept_content "
            f"({list(conf.accept_content)}): a cluster with these settings refuses "
            "the packages that they produce.",
            f"Add {conf.serializer!r} to accept_content.",
        )
    if "pickle" in conf.accept_content:
        yield Advice(
            "qcore.W011",
            "accept_content includes 'pickle': whoever holds a signing key can run "
            "code in the workers.",
            "Use 'serializer': 'json' where the arguments allow it.",
        )
    if not conf.signing_secrets:
        yield Advice(
            "qcore.W012",
            "There is no key to sign packages with: SECRET_KEY is empty and "
            "signing_keys is not set.",
            "Set SECRET_KEY.",
        )


def _strays(conf: Conf) -> Iterator[Advice]:
    """Tell of settings that belong to another one, which is not set."""
    if conf.broker_class is not None:
        return  # what a class of the project's own reads is its own affair
    for setting in conf.declared:
        owner = setting.belongs_to
        if owner and conf.selects(setting.name) and not conf.selects(owner):
            yield Advice(
                "qcore.W014",
                f"{setting.name} has no effect: it belongs to {owner}, which is not"
                " set.",
                f"Set {owner}, or leave {setting.name} out.",
            )
