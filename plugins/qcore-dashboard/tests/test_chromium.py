"""Every page in a real Chromium: barriers by axe-core, and its width; with screenshots.

The pages are rendered here and opened as files: so no request of the browser meets the
database of the test. ``browser.py`` has what needs a server.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.contrib.staticfiles import finders
from django.test import override_settings
from django.urls import reverse
from servers.base import ServerMissing
from shared_fixtures import missing
from support.chromium import axe_source, barriers, emulate, start_chromium

from qcore_dashboard.collect import pages

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = pytest.mark.django_db

MEMORY = {"name": "tests", "broker_class": "qcore.brokers.memory.MemoryBroker"}
#: Where screenshots go, of every view; none are taken where it is not set.
PICTURES = os.environ.get("QCORE_PICTURES")
#: What is shown, the colours, and pixels across. Each colour and each width is in it.
VIEWS = [("world", "light", 1720), ("world", "dark", 360), ("empty", "light", 360)]
if PICTURES:
    VIEWS = list(product(("world", "empty"), ("light", "dark"), (360, 1720)))


@pytest.fixture(autouse=True)
def settings_of_the_project() -> Iterator[None]:
    with override_settings(Q_CLUSTER=MEMORY):
        yield


@pytest.fixture(scope="module")
def axe() -> str:
    try:
        return axe_source()
    except ServerMissing as fact:
        missing("chromium", str(fact))
        raise


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chrome]:
    try:
        running = start_chromium()
        browser = running.__enter__()
    except ServerMissing as fact:
        missing("chromium", str(fact))
        raise
    try:
        yield browser
    finally:
        running.__exit__(None, None, None)


def as_file(text: str, path: Path) -> str:
    """Write a page without its scripts, with its styles from where they lie."""

    def found(match: re.Match[str]) -> str:
        place = finders.find(match[2])
        assert place, match[2]
        return f'{match[1]}="{Path(place).as_uri()}"'

    text = re.sub(r"<script\b.*?</script>", "", text, flags=re.DOTALL)
    # what the admin's own script does first, and its button for the theme needs
    text = text.replace("<html ", '<html data-theme="auto" ', 1)
    path.write_text(re.sub(r'(href|src)="/static/([^"]+)"', found, text))
    return path.as_uri()


@pytest.fixture
def written(admin_client, which, request, tmp_path) -> dict[str, str]:
    """Render every page that is listed, and pages of tasks; return where they lie."""
    found = {
        slug: reverse("admin:qcore_dashboard_page", args=[slug])
        for slug, page in pages().items()
        if page.is_listed
    }
    if which == "world":
        ids = request.getfixturevalue("world")
        for name in ("succeeded", "dead", "running", "scheduled", "parked"):
            args = ["task", getattr(ids, name)]
            found[f"task-{name}"] = reverse("admin:qcore_dashboard_part", args=args)
    return {
        name: as_file(admin_client.get(address).text, tmp_path / f"{name}.html")
        for name, address in found.items()
    }


@pytest.mark.parametrize(("which", "scheme", "width"), VIEWS)
def test_no_page_has_a_barrier_or_is_wider_than_the_window(
    chromium, axe, written, which, scheme, width
):
    emulate(chromium, scheme, width)
    wrong: list[str] = []
    for name, address in written.items():
        chromium.get(address)
        if PICTURES:
            Path(PICTURES).mkdir(parents=True, exist_ok=True)
            file = Path(PICTURES) / f"{which}-{name}-{scheme}-{width}.png"
            chromium.save_screenshot(str(file))
        across = chromium.execute_script("return document.documentElement.scrollWidth")
        if across > width:
            wrong.append(f"{name}: it is {across} px wide")
        wrong += [f"{name}: {one}" for one in barriers(chromium, axe)]
    assert wrong == [], "\n".join(wrong)


def test_axe_finds_what_keeps_people_out(chromium, axe, tmp_path):
    """So the test above can fail."""
    path = tmp_path / "bad.html"
    pale = "<p style='color: #ccc; background: #fff'>pale words</p>"
    path.write_text(f"{pale}<img src=x><input>")
    emulate(chromium, "light", 360)
    chromium.get(path.as_uri())
    found = {one.partition(":")[0] for one in barriers(chromium, axe)}
    assert {"color-contrast", "image-alt", "label"} <= found
