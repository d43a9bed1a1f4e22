"""Packages that nobody should have sent."""

from __future__ import annotations

import hmac
import pickle
from pathlib import Path

import msgspec

from qcore.envelope import Task
from qcore.runtime import current
from qcore.signing import Signer
from qcore.tasks.calls import build


class _Armed:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def pickled(path: Path, queue: str) -> Task:
    """Return a task whose arguments make a file where they are unpickled."""
    task = build("chores.kind.record", ("never",), cluster=queue, max_attempts=1)
    body = pickle.dumps([[_Armed(path)], {}])
    return msgspec.structs.replace(task, content="pickle", body=body)


def bad_packages(path: Path, queue: str) -> dict[str, bytes]:
    """Return packages that must be quarantined, by what is wrong with them.

    Args:
        path: of the file that comes to be where one of them is opened.
        queue: that they are for, but for one.
    """
    key = current.conf.secret_keys[0]
    task = build("chores.kind.record", ("never",), cluster=queue)
    good = current.signer.sign(task)
    return {
        "nothing but a byte": b"\0",
        "text": "qcore ✓".encode(),
        "our first bytes, then nothing": good[:20],
        "random": bytes(range(256)) * 4096,
        "changed": good[:-1] + bytes([good[-1] ^ 1]),
        "forged": Signer(["another secret"], current.conf.name).sign(task),
        "of another project": Signer([key], "another project").sign(task),
        "moved": current.signer.sign(
            build("chores.kind.record", ("never",), cluster="elsewhere")
        ),
        "signed garbage": _signed(b"\xc1" * 40),
        "a pickle": pickle.dumps(_Armed(path)),
        "a forged pickle": Signer(["another secret"], current.conf.name).sign(
            pickled(path, queue)
        ),
    }


def _signed(payload: bytes) -> bytes:
    """A package that only we could have made, of something that is no task."""
    head = b"qc\x01\x00"
    return (
        head + hmac.digest(current.signer._keys[0], head + payload, "sha256") + payload
    )
