"""The settings that qcore has and the document has not, with what is said of them."""

from __future__ import annotations

import re

from qcore.conf import fields

from .document import Sentence, settings

_END = re.compile(r"(?<=[.:])\s+(?=[A-Z'\d])")


def own_sentences() -> tuple[Sentence, ...]:
    """Return the sentences of the manual about each setting of qcore's own."""
    documented = settings()
    return tuple(
        Sentence(setting.name, sentence)
        for setting in fields()
        if setting.name not in documented
        for sentence in _END.split(setting.help)
    )
