"""A file of SQLite that the processes of a project share, and its errors by our names.

To make it yours, put the client of your service in place of it. What must stay: one
transaction for what belongs together, no connection that outlives a fork, and the
errors that tell "not now" (StoreUnavailable) from "never" (StoreRefused).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from qcore.errors import ConfigError, StoreRefused, StoreUnavailable

if TYPE_CHECKING:
    from qcore import Conf

#: Seconds that one process waits while another one writes.
PATIENCE = 10.0


class Database:
    """A file in the folder that a setting names.

    Args:
        conf: the settings; `key` of them is a dict with the ``path`` of a folder.
        key: of Q_CLUSTER.
        file: the name of the file.
        tables: the statements that make the tables, unless they are there.

    Raises:
        ConfigError: the setting names no folder.
    """

    def __init__(
        self, conf: Conf, key: str, file: str, tables: tuple[str, ...]
    ) -> None:
        path = (conf.options.get(key) or {}).get("path")
        if not isinstance(path, str) or not path:
            raise ConfigError(
                f"Q_CLUSTER[{key!r}]['path'] must be the path of a folder"
            )
        self.place = Path(path)
        self._file = self.place / file
        self._tables = tables

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Do what is inside completely or not at all, and nobody else meanwhile.

        Raises:
            StoreUnavailable: the file cannot be used now.
            StoreRefused: a value can never be kept.
        """
        try:
            # a connection for each: none is shared by threads or taken through a fork
            with closing(
                sqlite3.connect(self._file, timeout=PATIENCE, isolation_level=None)
            ) as database:
                database.execute("BEGIN IMMEDIATE")
                for statement in self._tables:
                    database.execute(statement)
                yield database
                database.execute("COMMIT")
        except (sqlite3.DataError, OverflowError, UnicodeError) as error:
            raise StoreRefused(f"{self._file} cannot keep a value: {error}") from error
        except sqlite3.Error as error:
            raise StoreUnavailable(
                f"{self._file} cannot be used: {error}. Check that its folder exists and"
                " can be written."
            ) from error
