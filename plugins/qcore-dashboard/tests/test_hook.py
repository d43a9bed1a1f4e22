"""Pages of strangers: what a plugin describes is shown; what it describes wrongly is told."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.contrib.staticfiles import finders
from django.test import override_settings
from django.urls import reverse

from qcore import hookimpl
from qcore.errors import PluginBroken, QcoreError
from qcore.pages import Action, Ask, BadQuery, Page
from qcore.plugins import Plugin, Registry
from qcore.runtime import Current
from qcore_dashboard.collect import pages

#: SHA-256 of dist/htmx.min.js in htmx.org 2.0.11 of the registry of npm.
HTMX = "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717"
MEMORY = {"name": "tests", "broker_class": "qcore.brokers.memory.MemoryBroker"}


@pytest.fixture(autouse=True)
def settings_of_the_project():
    with override_settings(Q_CLUSTER=MEMORY):
        yield


def stock(request, rest):
    if request.GET.get("shelf") == "x":
        raise BadQuery("There is no shelf 'x'.")
    if rest == "fail":
        raise QcoreError("redis://u:canary@h is away")
    return {
        "shelves": [
            {"name": "<b>a</b>", "in_stock": 3},
            {"name": "b", "in_stock": None},
        ],
        "open": {"from": "8:00", "to": None},
        "nothing": [],
        "note": "all is well",
    }


def count(request):
    return "Counted." if "sure" in request.POST else Ask("Count everything?")


def register(monkeypatch, found, name: str = "stranger") -> None:
    """Install a plugin with these pages; a function, or a list."""

    @hookimpl
    def qcore_dashboard_pages():
        return found() if callable(found) else found

    registry = Registry()
    module = SimpleNamespace(qcore_dashboard_pages=qcore_dashboard_pages)
    registry.register(module, Plugin(name, f"dist-{name}", "1.0", module=name))
    monkeypatch.setattr(Current, "registry", registry)


@pytest.fixture
def shop(monkeypatch, tmp_path):
    """A plugin with a page, whose module can be imported."""
    import sys

    monkeypatch.setitem(
        sys.modules, "stock_pages", SimpleNamespace(stock=stock, count=count)
    )
    page = Page(
        "stock",
        "Stock",
        "stock_pages:stock",
        permission="qcore.view_schedule",
        actions=(Action("count", "stock_pages:count", "qcore.change_schedule"),),
        order=25,
        has_parts=True,
    )
    register(monkeypatch, [page])
    return reverse("admin:qcore_dashboard_page", args=["stock"])


@pytest.mark.django_db
def test_a_page_of_a_stranger(admin_client, staff, shop):
    assert list(pages())[:3] == ["overview", "queues", "stock"]
    text = admin_client.get(shop).text
    assert "&lt;b&gt;a&lt;/b&gt;" in text
    assert "<h2>shelves</h2>" in text
    assert "in stock</th>" in text
    assert text.count("qd-unknown") == 2
    assert (
        f'href="{shop}"'
        in admin_client.get(
            reverse("admin:qcore_dashboard_page", args=["overview"])
        ).text
    )
    document = admin_client.get(shop, {"format": "json"}).json()
    assert document["data"]["note"] == "all is well"
    assert staff("view_dashboard").get(shop).status_code == 403
    assert staff("view_dashboard", "view_schedule").get(shop).status_code == 200


@pytest.mark.django_db
def test_what_a_page_raises_is_told(admin_client, shop):
    answer = admin_client.get(shop, {"shelf": "x"})
    assert answer.status_code == 400
    assert "There is no shelf" in answer.text
    answer = admin_client.get(f"{shop}fail/")
    assert answer.status_code == 503
    assert "Redis://u:***@h is away" in answer.text


@pytest.mark.django_db
def test_an_action_of_a_stranger_asks_first(admin_client, staff, shop):
    address = reverse("admin:qcore_dashboard_act", args=["stock", "count"])
    page = admin_client.post(address, {"shelf": "<i>"}).text
    assert "Count everything?" in page
    assert 'name="shelf" value="&lt;i&gt;"' in page
    answer = admin_client.post(address, {"sure": "yes"}, follow=True)
    assert "Counted." in answer.text
    assert staff("view_dashboard", "view_schedule").post(address).status_code == 403


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (["no page"], "expected a qcore.pages.Page, got str"),
        ([Page("UPPER", "x", "a:b")], "must be lower-case letters"),
        ([Page("queues", "x", "a:b")], "another page has the slug 'queues'"),
        ([Page("x", "x", "nonsense")], "must be 'module:function'"),
        ([Page("x", "x", "a:b", actions=(Action("y", "a:b", ""),))], "no permission"),
        (
            [Page("x", "x", "a:b", actions=(Action("y", "a:b", "z"),) * 2)],
            "two actions of one name",
        ),
        (lambda: 1 / 0, "failed in qcore_dashboard_pages"),
    ],
)
def test_a_wrong_page_is_left_out_and_told(monkeypatch, caplog, found, told):
    before = set(pages())
    with caplog.at_level(logging.ERROR, "qcore"):
        register(monkeypatch, found)
        assert set(pages()) == before
    (record,) = caplog.records
    assert told in record.getMessage()
    assert "stranger" in record.getMessage()


def test_a_target_that_cannot_be_loaded_is_told():
    with pytest.raises(PluginBroken, match=r"'no\.such:thing' cannot be loaded"):
        Page("x", "x", "no.such:thing").load()


def test_htmx_is_the_released_file_and_has_its_licence():
    found = finders.find("qcore_dashboard/htmx.min.js")
    assert isinstance(found, str)
    assert hashlib.sha256(Path(found).read_bytes()).hexdigest() == HTMX
    licence = Path(found).with_name("htmx.LICENSE.txt").read_text()
    assert licence.startswith("Zero-Clause BSD")
