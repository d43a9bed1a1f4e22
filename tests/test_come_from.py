"""The pages for users of other task queues: what they show is Python, and the new project works."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.test import override_settings
from documents.blocks import ROOT, Block, blocks

from qcore.models import Schedule
from qcore.schedules.registry import DECLARED
from qcore.schedules.sync import sync
from qcore.tasks import discovery, fetch, fetch_group, result
from qcore.testing.advance import QcoreClock
from qcore.testing.fixtures import qcore_queue  # noqa: F401 - a fixture

FOLDER = ROOT / "docs" / "how-to"
NAMES = ["celery", "rq", "huey", "django-tasks-db"]
BEFORE, AFTER = "A small project before", "The same project after"
#: Stands in for the mail of the shop: fails so often, then gives the text back.
MAIL = """
failures = 0


def mail(text):
    global failures
    if failures:
        failures -= 1
        raise ConnectionError("the mail server does not answer")
    return text
"""

every_page = pytest.mark.parametrize("name", NAMES)


def shown(name: str, heading: str, tmp_path: Path) -> list[Block]:
    """Return the blocks of Python below a heading of a page."""
    text = (FOLDER / f"come-from-{name}.md").read_text()
    (part,) = re.findall(
        rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE
    )
    page = tmp_path / "part.md"
    page.write_text(part)
    return list(blocks(page, "python"))


def files(name: str, heading: str, tmp_path: Path) -> dict[str, str]:
    found = {str(block.file): block.text for block in shown(name, heading, tmp_path)}
    assert "None" not in found, "each block names its file"
    return found


@every_page
def test_the_old_project_is_python_and_uses_the_other_queue(name, tmp_path):
    old = files(name, BEFORE, tmp_path)
    assert {"shop/tasks.py", "shop/orders.py"} <= set(old)
    trees = [ast.parse(text, file) for file, text in old.items()]
    package = "django" if name == "django-tasks-db" else name
    imported = {
        word.split(".")[0]
        for tree in trees
        for node in ast.walk(tree)
        for word in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert package in imported
    assert "qcore" not in imported


@every_page
def test_what_runs_side_by_side_is_python(name):
    text = (FOLDER / f"come-from-{name}.md").read_text()
    part = text.partition("## Both side by side\n")[2]
    assert part
    for block in re.findall(
        r"^( *)```python\n(.*?)^\1```$", part, re.DOTALL | re.MULTILINE
    ):
        indent, code = block
        ast.parse(re.sub(rf"^{indent}", "", code, flags=re.MULTILINE))


@pytest.fixture
def shop(name: str, tmp_path, monkeypatch) -> Iterator[ModuleType]:
    """The new project of a page; the module that places orders."""
    of_django = "django.tasks" if find_spec("django.tasks") else "django_tasks"
    new: dict[str, str] = {}
    if name == "django-tasks-db":
        if not (find_spec("django.tasks") or find_spec("django_tasks")):
            pytest.skip("neither Django 6 nor django-tasks")
        kept = "shop/orders.py"
        new[kept] = files(name, BEFORE, tmp_path)[kept]
    new |= files(name, AFTER, tmp_path) | {"shop/mail.py": MAIL, "shop/__init__.py": ""}
    for file, text in new.items():
        path = tmp_path / "project" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        # on Django 5.2, as the page says
        path.write_text(text.replace("from django.tasks", f"from {of_django}"))
    monkeypatch.syspath_prepend(tmp_path / "project")
    declared = dict(DECLARED)
    DECLARED.clear()
    monkeypatch.setattr(discovery, "load_all", dict)  # of the apps of the tests
    for module in _loaded():
        monkeypatch.delitem(sys.modules, module)
    yield importlib.import_module("shop.orders")
    for module in _loaded():
        del sys.modules[module]
    DECLARED.clear()
    DECLARED.update(declared)


def _loaded() -> list[str]:
    return [module for module in sys.modules if module.partition(".")[0] == "shop"]


def settings_of(name: str, tmp_path: Path) -> dict[str, Any]:
    """Return TASKS as a page has it; of the others, none is needed."""
    text = files(name, AFTER, tmp_path).get("settings.py", "")
    said: dict[str, Any] = {}
    exec(compile(text, "settings.py", "exec"), said)
    return {"TASKS": said["TASKS"]} if "TASKS" in said else {}


@every_page
@pytest.mark.django_db
@pytest.mark.usefixtures("qcore_queue")
def test_the_new_project_sends_a_receipt_tries_again_and_cleans_up(
    name, shop, tmp_path
):
    mail = sys.modules["shop.mail"]
    with override_settings(**settings_of(name, tmp_path)), QcoreClock() as clock:
        task_id = str(shop.place_order(17))
        clock.advance(seconds=10)
        assert result(task_id) is None
        mail.failures = 2
        clock.advance(hours=1)
        assert result(task_id) == "2 x receipt of order 17"
        assert fetch(task_id).attempt_count == 3
        mail.failures = 5
        last = str(shop.place_order(18))
        clock.advance(hours=1, raises=False)
        record = fetch(last)
        assert (record.success, record.attempt_count) == (False, 5)
        assert [one.name for one in sync()] == ["clean up"]
        assert Schedule.objects.get().cron == "0 3 * * *"
        clock.advance(days=1)
        (cleaned,) = fetch_group("clean up")
        assert cleaned.result == "clean"
