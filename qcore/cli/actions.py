"""The word after a verb that says what to do: ``qcore dead resend``."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable


def add_action(
    parser: ArgumentParser, actions: Iterable[str], *, default: str | None = None
) -> None:
    """Add ACTION, which is one of these words.

    Args:
        parser: of the verb.
        actions: two words or more, in the order of the help.
        default: the action where none is typed; None: one must be.
    """
    words = list(actions)
    *most, last = [f"{one} (the default)" if one == default else one for one in words]
    parser.add_argument(
        "action",
        nargs=None if default is None else "?",
        default=default,
        choices=words,
        metavar="ACTION",
        help=f"{', '.join(most)} or {last}",
    )
