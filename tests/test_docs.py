"""The manual says what the code says, and every link leads somewhere."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from django.dispatch import Signal
from documents.blocks import (
    ROOT,
    anchor,
    blocks,
    headings,
    links,
    name_of,
    pages,
    prose,
)

from qcore import hookspecs, signals
from qcore.checks import IDS
from qcore.cli import VERBS, parser
from qcore.conf import fields
from qcore.envelope import Outcome
from qcore.schedules.columns import CHECKS as SCHEDULE_OPTIONS
from qcore.tasks.options import OPTIONS

DOCS = ROOT / "docs"
#: The kinds of pages, each a folder.
KINDS = ("tutorial", "how-to", "reference", "explanation")
every_page = pytest.mark.parametrize("page", pages(), ids=name_of)


# -- what is generated ---------------------------------------------------------------
@pytest.mark.live
def test_generated_parts_are_up_to_date() -> None:
    pytest.importorskip("qcore_orm")  # the table of brokers needs every plugin
    words = [sys.executable, str(DOCS / "generate.py"), "--check"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.live
def test_a_stale_part_is_found(tmp_path: Path) -> None:
    """So that the test above can fail."""
    copy = tmp_path / "docs"
    (copy / "parts").mkdir(parents=True)
    for file in [DOCS / "generate.py", *(DOCS / "parts").glob("*.py")]:
        (copy / file.relative_to(DOCS)).write_text(file.read_text())
    (tmp_path / "plugins").mkdir()
    for readme in (tmp_path / "README.md", tmp_path / "plugins" / "README.md"):
        readme.write_text("# Without a generated part\n")
    stale = "<!-- generated: checks -->\nwhat was true before\n<!-- end -->\n"
    (copy / "checks.md").write_text(stale)
    words = [sys.executable, str(copy / "generate.py"), "--check"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "python docs/generate.py" in done.stdout
    assert (copy / "checks.md").read_text() == stale


def test_no_two_certificates_look_the_same() -> None:
    text = (DOCS / "reference/plugins.md").read_text()
    table = text.partition("<!-- generated: certificates -->")[2]
    rows = table.partition("<!-- end -->")[0].split("\n")
    rows = [row for row in rows if row.startswith("| qcore")]
    assert len(rows) == len(set(rows)) > 10


def test_every_setting_has_a_heading() -> None:
    names = {setting.name for setting in fields()}
    assert names <= set(headings(DOCS / "reference/configuration.md"))


def test_every_hook_has_a_heading() -> None:
    hooks = {name for name in vars(hookspecs) if name.startswith("qcore_")}
    assert hooks
    assert hooks <= set(headings(DOCS / "reference/plugins.md"))


def test_every_verb_has_a_heading() -> None:
    wanted = {f"qcore {verb}" for verb in VERBS}
    assert wanted <= set(headings(DOCS / "reference/cli.md"))


def test_every_schema_of_json_is_listed() -> None:
    text = (DOCS / "reference/cli.md").read_text()
    schemas = {
        name
        for folder in ("qcore", "plugins")
        for path in (ROOT / folder).rglob("*.py")
        for name in re.findall(r'"(qcore\.[\w-]+/\d+)"', path.read_text())
    }
    assert len(schemas) >= 5
    assert [name for name in schemas if f"`{name}`" not in text] == []


def test_every_check_is_listed() -> None:
    text = (DOCS / "reference/checks.md").read_text()
    assert [id for id in IDS if f"`{id}`" not in text] == []


def test_no_check_is_raised_that_is_not_listed() -> None:
    used = {
        id
        for path in (ROOT / "qcore").rglob("*.py")
        for id in re.findall(r"\bqcore\.[EWI]\d{3}\b", path.read_text())
    }
    assert used == set(IDS)


# -- what is written by hand, from what the code has ------------------------------------
def cells(page: Path, column: int = 0) -> set[str]:
    """Return what stands in code in one column of the tables of a page."""
    rows = [line for line in prose(page).splitlines() if line.startswith("|")]
    columns = [row.split(" | ") for row in rows]
    return {
        name
        for row in columns
        if len(row) > column
        for name in re.findall(r"`([^`]+)`", row[column])
    }


def test_every_option_of_a_task_is_in_the_table() -> None:
    assert OPTIONS | {"q_options"} <= cells(DOCS / "reference/tasks.md")


def test_every_option_of_a_schedule_is_in_the_table() -> None:
    assert {*SCHEDULE_OPTIONS, "q_options"} <= cells(DOCS / "reference/schedules.md")


def test_every_django_signal_is_in_the_table() -> None:
    names = {name for name, one in vars(signals).items() if isinstance(one, Signal)}
    assert names
    assert names <= cells(DOCS / "reference/tasks.md")


def test_every_outcome_is_explained() -> None:
    text = (DOCS / "reference/tasks.md").read_text()
    stored = {value for name, value in vars(Outcome).items() if name.isupper()}
    stored -= {Outcome.STOPPED, Outcome.SNOOZED, Outcome.SUSPENDED}  # never stored
    assert [one for one in stored if f"`{one}`" not in text] == []


@every_page
def test_every_file_that_is_named_exists(page: Path) -> None:
    named = re.findall(r"`((?:qcore|plugins|tests|docs)/[\w./-]+)`", prose(page))
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_modules_in_the_table_of_layers_exist() -> None:
    table = re.findall(
        r"^\| \d \w.*$", prose(DOCS / "explanation/internals.md"), re.MULTILINE
    )
    names = re.findall(r"`([\w.]+)`", "\n".join(table))
    assert len(names) > 30
    paths = [ROOT / "qcore" / name.replace(".", "/") for name in names]
    assert [
        path.name
        for path in paths
        if not (path.is_dir() or path.with_suffix(".py").exists())
    ] == []


def test_every_module_of_the_engine_is_in_the_internals() -> None:
    text = (DOCS / "explanation/internals.md").read_text()
    modules = {path.name for path in (ROOT / "qcore" / "engine").rglob("[!_]*.py")}
    assert len(modules) > 30
    assert [name for name in modules if f"{name}`" not in text] == []


#: Words of others for what has a word here: worker, sentinel, quarantine,
#: lease, queue, task. A page that speaks of others may use them.
FOREIGN = re.compile(
    r"\b(consumers?|masters?|supervisors?|subscribers?|dead.letters?|poison"
    r"|nack\w*|visibility timeouts?|message queues?|background jobs?|cron ?jobs?)\b",
    re.IGNORECASE,
)
OF_OTHERS = {
    "explanation/compare.md",
    "explanation/promises.md",
    "how-to/come-from-celery.md",
    "how-to/come-from-django-q.md",
    "how-to/come-from-django-tasks-db.md",
    "how-to/come-from-huey.md",
    "how-to/come-from-rq.md",
    "reference/brokers.md",
    "reference/contract.md",
    "reference/django-q.md",
    "reference/faults.md",
}


@every_page
def test_a_page_calls_things_by_their_words(page: Path) -> None:
    if name_of(page).removeprefix("docs/") not in OF_OTHERS:
        assert FOREIGN.findall(prose(page)) == []


def test_what_the_software_says_has_the_words_of_the_glossary() -> None:
    said = [setting.help for setting in fields()]
    said += [*IDS.values(), parser().format_help()]
    said += [f"{verb.HELP} {verb.__doc__}" for verb in VERBS.values()]
    assert FOREIGN.findall("\n".join(said)) == []
    assert FOREIGN.findall("a dead-letter queue of the master") != []


# -- links and commands ----------------------------------------------------------------
@every_page
def test_every_link_leads_to_a_heading_or_a_file(page: Path) -> None:
    lost = []
    for target in links(page):
        path, _, fragment = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists():
            lost.append(target)
        elif fragment:  # a picture has no headings
            known = {anchor(heading) for heading in headings(file)}
            if fragment not in known:
                lost.append(target)
    assert not lost


def test_every_page_is_in_the_table_of_contents() -> None:
    for folder in (DOCS, *(DOCS / kind for kind in KINDS)):
        trees = "\n".join(
            block.text for block in blocks(folder / "index.md", "{toctree}")
        )
        listed = {line.strip() for line in trees.splitlines()}
        assert {page.stem for page in folder.glob("*.md")} - {"index"} <= listed
    assert {f"{kind}/index" for kind in KINDS} <= {
        line.strip()
        for block in blocks(DOCS / "index.md", "{toctree}")
        for line in block.text.splitlines()
    }


def test_every_page_is_of_one_kind() -> None:
    """A page stands in the folder of its kind; the front page and the log stand apart."""
    assert {page.name for page in DOCS.glob("*.md")} == {"index.md", "changelog.md"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_index_of_a_kind_leads_to_each_of_its_pages(kind: str) -> None:
    index = DOCS / kind / "index.md"
    pages_of_kind = {page.name for page in index.parent.glob("*.md")} - {"index.md"}
    assert pages_of_kind <= set(links(index))
    assert prose(index).splitlines()[2].startswith("For who ")


def commands(page: Path) -> list[str]:
    """Return the lines of shell that a page tells people to type."""
    lines = [
        line.partition(" #")[0].strip()
        for block in blocks(page, "sh")
        for line in block.text.splitlines()
    ]
    return [line for line in lines if line]


@every_page
def test_the_arguments_of_every_command_exist(page: Path) -> None:
    for line in commands(page):
        words = shlex.split(line)
        if words[0] == "qcore" and words[1] != "VERB":
            parser().parse_args(words[1:])  # SystemExit for what does not exist
        elif words[:2] == ["python3", "noxfile.py"] and "-s" in words:
            assert words[words.index("-s") + 1] in sessions()


def sessions() -> set[str]:
    """Return the names of the sessions of noxfile.py."""
    tree = ast.parse((ROOT / "noxfile.py").read_text())
    return {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and any("nox.session" in ast.unparse(one) for one in node.decorator_list)
    }


def test_the_readme_shows_the_two_commands() -> None:
    shown = commands(ROOT / "README.md")
    assert "python3 noxfile.py -s demo" in shown
    assert "python3 noxfile.py" in shown
    assert "demo" in sessions()


@every_page
def test_no_command_could_install_the_foreign_package(page: Path) -> None:
    """Names of ours are installed from paths, or with >=2 from a wheelhouse."""
    for line in commands(page):
        words = shlex.split(line)
        if "pip" not in words[:3] or "install" not in words:
            continue
        for word in words[words.index("install") + 1 :]:
            if re.match(r"qcore\b", word):
                assert ">=2" in word, line
                assert "--find-links" in words, line


def test_each_decision_has_a_number_of_its_own() -> None:
    pages = sorted((DOCS / "decisions").glob("[0-9]*.md"))
    numbers = [int(page.name[:4]) for page in pages]
    assert len(numbers) == len(set(numbers)) > 40
    told = [page.read_text().partition("\n")[0] for page in pages]
    assert [line for line in told if not re.match(r"# \d+\. \S", line)] == []
    assert [int(line[2:].partition(".")[0]) for line in told] == numbers


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


# -- the whole -------------------------------------------------------------------------
@pytest.mark.skipif(
    not importlib.util.find_spec("sphinx"), reason="the session docs has Sphinx"
)
def test_sphinx_builds_the_manual_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("furo")
    words = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q"]
    words += ["-d", str(tmp_path / "doctrees"), str(DOCS), str(tmp_path / "html")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "html" / "reference" / "configuration.html").exists()
