"""Every sentence of the documented settings, and the tests that prove it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[2]

if TYPE_CHECKING:
    from contract.document import Sentence

_ROLE = re.compile(r":\w+:`([^`<]+)(?:<[^>]*>)?`")
_LINK = re.compile(r"`([^`<]+?) ?<[^>]*>`__?")


def sentences() -> str:
    """Return one heading per setting, and one table of its sentences below it."""
    from contract.document import settings

    documented = {"Q_CLUSTER", *settings()}
    return _tables(lambda setting: setting in documented)


def own_settings() -> str:
    """Return the same for the settings that the document has not."""
    from contract.document import settings

    documented = {"Q_CLUSTER", *settings()}
    return _tables(lambda setting: setting not in documented)


def options() -> str:
    """Return a table of the options of one task and their tests."""
    from contract.evidence import marked

    rows = sorted({(words[0], test) for words, test in marked("option")})
    lines = ["| option | proved by |", "| --- | --- |"]
    for name, found in groupby(rows, key=lambda row: row[0]):
        lines.append(f"| `{name}` | {'<br>'.join(_test(test) for _, test in found)} |")
    return "\n".join(lines)


def _tables(wanted: Callable[[str], bool]) -> str:
    from contract.evidence import everything

    text = []
    for setting, found in groupby(everything(), key=lambda one: one.setting):
        if wanted(setting):
            lines = ["| sentence | proved by |", "| --- | --- |"]
            lines += [f"| {_plain(one.text)} | {_proofs(one)} |" for one in found]
            text += [f"### {setting}", "\n".join(lines)]
    return "\n\n".join(text)


def _proofs(sentence: Sentence) -> str:
    from contract.evidence import proofs_of

    found = proofs_of(sentence)
    tests = dict.fromkeys(_test(proof.test) for proof in found if proof.test)
    reasons = dict.fromkeys(proof.reason for proof in found if proof.reason)
    if not tests and not reasons:
        raise SystemExit(f"nothing proves {sentence}; see tests/contract")
    return "<br>".join([*tests, *reasons])


def _test(test: str) -> str:
    """Return a test as its sentence and its file, as the page of faults has it."""
    path, _, name = test.partition("::")
    words = name.rpartition("::")[2].removeprefix("test_").replace("_", " ")
    return f"{words.capitalize()} (`{path}`)"


def _plain(text: str) -> str:
    """Return a sentence of reStructuredText as Markdown."""
    text = _LINK.sub(r"\1", _ROLE.sub(r"`\1`", text))
    text = text.replace("``", "`").replace("::", ":").replace(" [#f1]_", "")
    return text.replace("|", r"\|").replace("*", r"\*")


# the tests are no package of ours; their folder is on the path while pytest runs
if str(ROOT / "tests") not in sys.path:
    sys.path.insert(0, str(ROOT / "tests"))
