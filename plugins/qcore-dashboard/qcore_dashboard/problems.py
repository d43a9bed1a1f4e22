"""Problems: what a part of a page could not find out, as one line without secrets."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from django.db import Error

from qcore.cli.project import explain
from qcore.errors import QcoreError
from qcore.masking import mask_url

logger = logging.getLogger("qcore.dashboard")

T = TypeVar("T")


def told(error: Exception) -> str:
    """Return what an error says: a sentence, without secrets."""
    if isinstance(error, Error):
        return f"{explain(error)[0].upper()}{explain(error)[1:]}."
    text = " ".join(mask_url(str(error)).split())
    return f"{text[:1].upper()}{text[1:]}" if text else type(error).__name__


class Problems(list[str]):
    """What could not be found out, each once."""

    def attempt(self, ask: Callable[[], T]) -> T | None:
        """Return what is asked; None, and the problem noted, where it cannot be known."""
        try:
            return ask()
        except (QcoreError, Error) as error:
            logger.debug("a part of a page failed", exc_info=True)
            self._note(told(error))
        except Exception as error:  # of one part: brokers and caches may be strangers'
            logger.exception("a part of a page failed")
            self._note(f"{type(error).__name__}: {told(error)}")
        return None

    def _note(self, text: str) -> None:
        if text not in self:
            self.append(text)
