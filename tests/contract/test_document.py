"""The document is covered: each sentence has a test that proves it, or a reason.

The copy is that of the project's users; nothing in it is changed to fit.
"""

from __future__ import annotations

import hashlib
import inspect
from collections import Counter

import pytest
from contract import evidence
from contract.document import PATH, examples, sentences, settings
from contract.evidence import (
    ROOT,
    everything,
    marked,
    proofs,
    proofs_of,
)
from support.declared import TABLE, from_dict

from qcore.tasks import async_task
from qcore.tasks.options import OPTIONS

sentence = pytest.mark.sentence


#: What the document's markup has besides its sentences: directives and a footnote.
MARKUP = {
    *("..", "-", "code::", "python", "note::", "tip::", "rubric::", "Footnotes"),
    *("[#f1]", "py:module::", "py:currentmodule::", "django_q"),
}


def test_the_copy_is_the_document():
    digest = hashlib.sha256(PATH.read_bytes()).hexdigest()
    assert digest == "78102043c5bf745b20677805942c38dc8ac1b11a36eb4e973a3b715f552ed766"


def test_the_document_is_read_whole():
    """So that a paragraph that is taken for markup is missed by nobody."""
    words = Counter(PATH.read_text().partition("-------------")[2].split())
    for one in sentences():
        words -= Counter(() if one.text.startswith("(example") else one.text.split())
    for one in examples():
        words -= Counter(one.text.split())
    lost = {w for w in words - Counter(settings()) if not w.startswith(("~", "_"))}
    assert lost == MARKUP
    assert len(sentences()) > 120


def test_every_documented_setting_is_one():
    assert set(settings()) <= {setting.name for setting in TABLE}
    assert len(settings()) == 33


@pytest.mark.parametrize("one", everything(), ids=lambda one: one.setting)
def test_every_sentence_is_proved_or_has_its_reason(one):
    assert proofs_of(one), f"nothing speaks of {one}"


@pytest.mark.parametrize("proof", proofs(), ids=lambda proof: proof.quotation[0])
def test_every_quotation_is_in_one_sentence(proof):
    assert len([one for one in everything() if proof.is_about(one)]) == 1, proof


def test_every_test_that_is_named_exists():
    found = {
        f"{path.relative_to(ROOT)}::{name}"
        for pattern in ("tests/**/test_*.py", "plugins/*/tests/test_*.py")
        for path in ROOT.glob(pattern)
        for name, _ in evidence.tests_in(path)
    }
    assert {proof.test for proof in proofs() if proof.test} - found == set()


def test_every_option_of_a_task_has_a_test():
    assert {words[0] for words, _ in marked("option")} == OPTIONS
    assert "q_options" in inspect.getdoc(async_task)


# -- defaults -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "default"),
    [
        pytest.param(
            "name", "default", marks=sentence("name", "Defaults to ``'default'``.")
        ),
        pytest.param(
            "daemonize_workers",
            True,
            marks=sentence("daemonize_workers", "Defaults to ``True``."),
        ),
        pytest.param("recycle", 500, marks=sentence("recycle", "Defaults to ``500``.")),
        pytest.param(
            "max_rss", None, marks=sentence("max_rss", "Defaults to ``None``.")
        ),
        pytest.param(
            "timeout",
            None,
            marks=sentence(
                "timeout", "Defaults to ``None``, meaning it will never time out."
            ),
        ),
        pytest.param(
            "ack_failures",
            False,
            marks=sentence("ack_failures", "Defaults to ``False``."),
        ),
        pytest.param(
            "max_attempts", 0, marks=sentence("max_attempts", "Defaults to 0")
        ),
        pytest.param("retry", 60, marks=sentence("retry", "Defaults to 60 seconds.")),
        pytest.param(
            "compress", False, marks=sentence("compress", "Defaults to ``False``")
        ),
        pytest.param(
            "save_limit", 250, marks=sentence("save_limit", "Defaults to ``250``")
        ),
        pytest.param("sync", False, marks=sentence("sync", "Defaults to ``False``.")),
        pytest.param(
            "label", "Django Q", marks=sentence("label", "Defaults to ``'Django Q'``")
        ),
        pytest.param(
            "catch_up", True, marks=sentence("catch_up", "Defaults to ``True``.")
        ),
        pytest.param(
            "poll", 0.2, marks=sentence("poll", "Defaults to ``0.2`` (seconds).")
        ),
        pytest.param(
            "cache", "default", marks=sentence("cache", "Defaults to ``default``.")
        ),
        pytest.param(
            "scheduler", True, marks=sentence("scheduler", "Defaults to ``True``")
        ),
        pytest.param(
            "cpu_affinity",
            0,
            marks=sentence("cpu_affinity", "Defaults to using all processors::"),
        ),
    ],
)
def test_a_default(name, default):
    conf = from_dict({})
    assert getattr(conf, name, conf.options.get(name)) == default
    assert name not in conf.explicit
