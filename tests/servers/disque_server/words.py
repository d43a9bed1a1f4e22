"""The optional words of a command: ``DELAY 5 RETRY 60 ASYNC``."""

from __future__ import annotations

from collections.abc import Iterator

from .wire import Refusal

SYNTAX = "ERR syntax error"


class Words:
    """Reads words from the left; they are the same in upper and lower case."""

    def __init__(self, words: list[bytes]) -> None:
        self._left: Iterator[bytes] = iter(words)

    def __iter__(self) -> Iterator[str]:
        return (word.decode("latin-1").upper() for word in self._left)

    def text(self) -> bytes:
        """Return the next word as it is."""
        try:
            return next(self._left)
        except StopIteration:
            raise Refusal(SYNTAX) from None

    def rest(self) -> list[bytes]:
        return list(self._left)

    def number(self, refusal: str, least: int = 0) -> int:
        """Return the next word as a number of at least ``least``."""
        return number(self.text(), refusal, least)


def number(word: bytes, refusal: str, least: int | None = 0) -> int:
    """Return a word as a number, or refuse the command."""
    try:
        value = int(word)
    except ValueError:
        raise Refusal(refusal) from None
    if least is not None and value < least:
        raise Refusal(refusal)
    return value
