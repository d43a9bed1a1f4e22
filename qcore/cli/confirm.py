"""Questions to the person at the terminal, before something is done for good."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence

from ..errors import ConfigError
from .output import complain

YES = "yes"


def ask(question: str, options: Namespace, also: Sequence[str] = ()) -> str | None:
    """Ask on stderr; return the answer, or None for no.

    Args:
        question: with what is going to be done.
        options: of the command line; ``yes`` answers by itself.
        also: answers besides ``yes`` that are not no.

    Raises:
        ConfigError: the input is no terminal, so nobody can answer.
    """
    if options.yes:
        return YES
    if not sys.stdin.isatty():
        raise ConfigError(
            f"the input is no terminal, so nobody can answer: {question} Add --yes to do it"
            " without a question."
        )
    complain(f"{question} Type {' or '.join([YES, *also])}: ")
    sys.stderr.flush()
    answer = sys.stdin.readline().strip().lower()
    if answer in (YES, *also):
        return answer
    complain("nothing was changed\n")
    return None
