"""What proves a sentence: marks on tests, references to tests elsewhere, reasons.

All of it is read from the text of the tests, so that the manual can be made without
running them. A mark, a reference and a reason may quote a part of a sentence::

    @pytest.mark.sentence("recycle", "Defaults to ``500``.")
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .document import Sentence, sentences
from .own import own_sentences
from .reasons import REASONS
from .references import REFERENCES

ROOT = Path(__file__).resolve().parents[2]

#: Setting and quotation.
Quotation = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Proof:
    """A test, or the reason why there is none, for one quotation."""

    quotation: Quotation
    test: str = ""  # path::name
    reason: str = ""

    def is_about(self, sentence: Sentence) -> bool:
        """Whether it quotes this sentence or a part of it."""
        setting, text = self.quotation
        return setting == sentence.setting and text in sentence.text


@cache
def everything() -> tuple[Sentence, ...]:
    """Return what is to be proved: the document, and the settings that it lacks."""
    return (*sentences(), *own_sentences())


@cache
def proofs() -> tuple[Proof, ...]:
    """Return all there are."""
    found = [Proof(quotation, test) for quotation, test in marked("sentence")]
    for setting, quotations in REFERENCES.items():
        for text, tests in quotations.items():
            found += [Proof((setting, text), test) for test in tests]
    for setting, reasons in REASONS.items():
        found += [Proof((setting, text), reason=why) for text, why in reasons.items()]
    return tuple(found)


def proofs_of(sentence: Sentence) -> list[Proof]:
    """Return what proves one sentence; the empty list where nothing does."""
    return [proof for proof in proofs() if proof.is_about(sentence)]


def marked(mark: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the arguments of each ``@pytest.mark.<mark>(...)``, and its test."""
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        for name, node in tests_in(path):
            for decorator in node.decorator_list:
                for call in ast.walk(decorator):
                    if isinstance(call, ast.Call) and _name(call.func) == mark:
                        words = tuple(ast.literal_eval(word) for word in call.args)
                        yield words, f"{path.relative_to(ROOT)}::{name}"


@cache
def tests_in(path: Path) -> list[tuple[str, ast.FunctionDef | ast.ClassDef]]:
    """Return the tests of a file, and its classes of tests, with their names."""
    found: list[tuple[str, ast.FunctionDef | ast.ClassDef]] = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            found.append((node.name, node))
        elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            found.append((node.name, node))
            found += [
                (f"{node.name}::{one.name}", one)
                for one in node.body
                if isinstance(one, ast.FunctionDef) and one.name.startswith("test_")
            ]
    return found


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""
