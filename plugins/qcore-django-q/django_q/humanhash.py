"""Names of four words for ids, as django-q gives them to tasks and clusters."""

from __future__ import annotations

import functools
from uuid import uuid4

#: One word for each value of a byte: consonant, vowel, consonant, vowel.
DEFAULT_WORDLIST = tuple(
    f"{first}{second}{third}{fourth}"
    for first in "bdfglmnr"
    for second in "aeio"
    for third in "klst"
    for fourth in "au"
)


class HumanHasher:
    """Turns hexadecimal digits into words.

    Args:
        wordlist: exactly 256 words.

    Raises:
        ValueError: there are more or fewer.
    """

    def __init__(self, wordlist: tuple[str, ...] = DEFAULT_WORDLIST) -> None:
        if len(wordlist) != 256:
            raise ValueError(f"the word list has {len(wordlist)} words, expected 256")
        self.wordlist = wordlist

    def humanize(self, hexdigest: str, words: int = 4, separator: str = "-") -> str:
        """Return so many words for an id; the same id always has the same ones."""
        digits = hexdigest.replace("-", "")
        values = list(bytes.fromhex(digits))
        return separator.join(
            str(self.wordlist[value]) for value in self.compress(values, words)
        )

    @staticmethod
    def compress(bytes_: list[int], target: int) -> list[int]:
        """Fold bytes by XOR until ``target`` of them are left.

        Raises:
            ValueError: there are fewer to begin with.
        """
        if len(bytes_) < target:
            raise ValueError(
                f"{len(bytes_)} bytes cannot become {target} words: too few"
            )
        size = len(bytes_) // target
        parts = [bytes_[n * size : (n + 1) * size] for n in range(target)]
        parts[-1] += bytes_[target * size :]
        return [functools.reduce(lambda one, two: one ^ two, part) for part in parts]

    def uuid(self, **params: object) -> tuple[str, str]:
        """Return the words and the hexadecimal digits of a new id."""
        digest = uuid4().hex
        return self.humanize(digest, **params), digest  # type: ignore[arg-type]


DEFAULT_HASHER = HumanHasher()
uuid = DEFAULT_HASHER.uuid
humanize = DEFAULT_HASHER.humanize
