"""Names of steps and events, and the digests by which they are looked up."""

from __future__ import annotations

import hashlib

from qcore.conf.names import shown as described

from .errors import StepError

#: Characters that a name may have.
LONGEST = 200


def name_of(word: str, name: object, key: object = None) -> str:
    """Return the whole name of a step: ``"mail"``, or with a key ``"mail[17]"``.

    Args:
        word: what is called, for the error.
        name: of the step.
        key: tells calls of one name apart, such as those in a loop.

    Raises:
        StepError: the name is none, or the key is neither a text nor a whole number.
    """
    if not isinstance(name, str) or not name or len(name) > LONGEST:
        raise StepError(
            f"{word}(): the name is {described(name)}, expected a text of 1 to {LONGEST}"
            " characters"
        )
    if key is None:
        return name
    if isinstance(key, bool) or not isinstance(key, (str, int)):
        raise StepError(
            f"{word}({name!r}): key is {described(key)}, expected a text or a whole number"
        )
    return f"{name}[{key}]"


def digest(text: str) -> str:
    """Return 32 hexadecimal digits by which a name is known."""
    data = text.encode(errors="surrogatepass")
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def shown(name: str) -> str:
    """Return a name as its column has it: in ASCII, without NUL, and shortened."""
    text = name.encode("ascii", "backslashreplace").decode().replace("\0", r"\x00")
    return text if len(text) <= 255 else f"{text[:252]}..."
