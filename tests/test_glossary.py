"""The glossary knows the words of the engine, and nobody uses the words of before."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from documents.blocks import ROOT, name_of, pages, prose

GLOSSARY = ROOT / "docs" / "reference" / "glossary.md"
ENGINE = ROOT / "qcore" / "engine"

#: One word, one thing: the words that code, messages and pages have to share.
WORDS = """
    cluster, sentinel, dispatcher, pusher, recorder, relay, worker, worker pool,
    prefetch, capacity, watchdog, lease, renewal, lost lease, broker, queue, task,
    package, delivery, receipt, attempt, outcome, timeout, grace, store, outbox, hold,
    limit, parked, batch, flow, node, run, step, event, dead, quarantine, monitor,
    reporter, schedule, slot, scheduler, hook, task hook, plugin, provider, capability,
    extra, release, free
"""

#: Files of the engine whose name is a part, or a form, of their word.
FORMS = {
    "cancelling": "cancel",
    "culprits": "culprit",
    "controlling": "control",
    "pool": "worker pool",
    "prefetched": "prefetch",
    "redelivered": "redelivery",
    "retries": "retry policy",
    "relaying": "relay",
    "scheduling": "scheduler",
}

#: What had another name before the engine got the words of its field.
OLD = re.compile(
    r"\b(trays?|crews?|heralds?|keepers?|fences?|obituar(y|ies)|leavings"
    r"|deal|deals|dealt|dealing)\b",
    re.IGNORECASE,
)
#: Words that are written together, as the names in the code are. The verbs are two words:
#: a task times out, somebody looks it up.
TOGETHER = "timeout lookup plugin failover cleanup shutdown setup startup goodbye"
APART = re.compile(
    r"\b(time|look|plug|clean|shut|set|start|timed)-(outs?|ups?|ins?|downs?)\b"
    r"|\bfail-overs?\b|\bgood-bye\b",
    re.IGNORECASE,
)
#: Where the old words are told: the decision, and the changes that have it.
HISTORY = {
    "docs/changes/+runtime-module.changed.md",
    "docs/decisions/0043-engine-by-process.md",
}


def words() -> list[str]:
    rows = re.findall(r"^\| ([a-z ]+) \| ", GLOSSARY.read_text(), re.MULTILINE)
    return [word for word in rows if word != "word"]


def singular(name: str) -> str:
    """Return the word that a file is named by: ``iter_joins`` has "iter join"."""
    word = name.replace("_", " ")
    if word in FORMS:
        return FORMS[word]
    irregular = {"children": "child", "memory": "memory"}
    if word in irregular:
        return irregular[word]
    if word.endswith("ies"):
        return word.removesuffix("ies") + "y"
    if word.endswith("ches"):
        return word.removesuffix("es")
    return word if word.endswith("ss") or word == "status" else word.removesuffix("s")


def test_the_words_are_in_order() -> None:
    assert len(words()) > 90
    assert words() == sorted(words())


def test_every_word_of_the_design_is_in_it() -> None:
    wanted = {word.strip() for word in WORDS.split(",")}
    wanted = {" ".join(word.split()) for word in wanted}
    assert len(wanted) > 40
    assert wanted - set(words()) == set()


def engine_names() -> list[str]:
    files = {path.stem for path in ENGINE.rglob("[!_]*.py")}
    folders = {path.parent.name for path in ENGINE.rglob("[!_]*.py")}
    return sorted(files | folders - {"engine"})


@pytest.mark.parametrize("name", engine_names())
def test_every_file_of_the_engine_is_a_word(name: str) -> None:
    """Write a row for a new noun, or put another form of a known word into FORMS."""
    assert singular(name) in words()


def test_every_form_leads_to_a_word() -> None:
    assert set(FORMS.values()) <= set(words())
    assert set(FORMS) <= set(engine_names())


def test_every_word_is_in_use() -> None:
    text = " ".join(page.read_text() for page in pages() if page != GLOSSARY).lower()
    text += " ".join(singular(name) for name in engine_names())
    assert [one for one in words() if not re.search(rf"\b{one}", text)] == []


def test_the_engine_has_no_word_of_before() -> None:
    files = [*ENGINE.rglob("*.py")]
    assert len(files) > 40
    used = {file.name: OLD.search(file.read_text()) for file in files}
    assert {name: found[0] for name, found in used.items() if found} == {}


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_no_page_has_a_word_of_before(page: Path) -> None:
    if name_of(page) not in HISTORY:
        assert [found[0] for found in OLD.findall(prose(page))] == []


def sources() -> list[Path]:
    """Return what people read: code, pages, templates and tables."""
    folders = ("qcore", "plugins", "tests", "docs", ".github")
    found = [
        path
        for folder in folders
        for kind in ("py", "md", "html", "toml")
        for path in (ROOT / folder).rglob(f"*.{kind}")
    ]
    # not what tools have put there, such as docs/_build
    ours = [
        path
        for path in found
        if not any(part[0] in "._" for part in path.relative_to(ROOT).parts[1:-1])
    ]
    return [ROOT / "README.md", ROOT / "pyproject.toml", *ours]


def test_a_word_has_one_spelling() -> None:
    assert APART.findall("a time-out, a Look-up and two plug-ins") != []
    assert APART.findall(TOGETHER) == []
    files = [path for path in sources() if path != Path(__file__)]
    assert len(files) > 1000
    found = {name_of(path): APART.search(path.read_text()) for path in files}
    assert {name: word[0] for name, word in found.items() if word} == {}
