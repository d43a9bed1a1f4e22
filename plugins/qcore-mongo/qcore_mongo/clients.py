"""One MongoClient for all brokers of a process that have the same settings.

A client watches every node from threads of its own and pools its connections; it is
made to be shared by threads, and must not be used after a fork.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import Any

from pymongo import MongoClient

Client = MongoClient[dict[str, Any]]


@dataclass(slots=True)
class _Shared:
    arguments: dict[str, Any]
    client: Client
    users: int = 0


class Clients:
    """The clients of this process; each is closed when its last user gives it back."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Leave all clients to others: after a fork they are the parent's."""
        self._lock = threading.Lock()
        self._shared: list[_Shared] = []

    def borrow(self, arguments: dict[str, Any]) -> Client:
        """Return the client with these arguments; it connects on first use.

        Raises:
            PyMongoError, TypeError, ValueError: an argument is wrong.
        """
        with self._lock:
            for one in self._shared:
                # compared and not hashed: arguments may be objects of any kind
                if one.arguments == arguments:
                    break
            else:
                one = _Shared(arguments, MongoClient(**arguments))
                self._shared.append(one)
            one.users += 1
            return one.client

    def give_back(self, client: Client) -> None:
        """Say that one user is done with it."""
        with self._lock:
            for one in self._shared:
                if one.client is client:
                    break
            else:
                return
            one.users -= 1
            if one.users:
                return
            self._shared.remove(one)
        client.close()


clients = Clients()
os.register_at_fork(after_in_child=clients.forget)
