"""The pages in a real Chromium: its errors, the keyboard, and widths; with screenshots.

``python3 noxfile.py -s browser`` runs this file; no other session does, for it needs Debian's
packages ``chromium`` and ``chromium-driver``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.urls import reverse
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from qcore.testing.speed import stretched

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.service]

#: Chromium runs without its sandbox, for root may not use it, and asks nobody outside.
WORDS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
]
#: Everything from here, and nothing inline.
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'"
MEMORY = {"name": "tests", "broker_class": "qcore.brokers.memory.MemoryBroker"}
PAGES = ("overview", "queues", "tasks", "dead", "schedules", "clusters", "system")
#: Where screenshots go; none are taken where it is not set.
PICTURES = os.environ.get("QCORE_PICTURES")


class Policy:
    """Middleware that sends the policy with each page."""

    def __init__(self, get_response) -> None:
        self.get_response = get_response

    def __call__(self, request):
        answer = self.get_response(request)
        answer["Content-Security-Policy"] = POLICY
        return answer


@pytest.fixture(autouse=True)
def settings_of_the_project(settings) -> Iterator[None]:
    found = [*settings.MIDDLEWARE, f"{__name__}.Policy"]
    with override_settings(Q_CLUSTER=MEMORY, MIDDLEWARE=found):
        yield


@pytest.fixture(scope="module")
def chromium() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for word in WORDS:
        options.add_argument(word)
    service = webdriver.ChromeService(shutil.which("chromedriver") or "")
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium, live_server, world) -> webdriver.Chrome:
    """Log in as somebody who may do everything."""
    user = User.objects.create_superuser("admin", password="x")
    client = Client()
    client.force_login(user)
    chromium.get(f"{live_server.url}{reverse('admin:login')}")
    chromium.delete_all_cookies()
    chromium.add_cookie(
        {"name": "sessionid", "value": client.cookies["sessionid"].value, "path": "/"}
    )
    chromium.get_log("browser")
    return chromium


def addresses(world) -> dict[str, str]:
    found = {slug: reverse("admin:qcore_dashboard_page", args=[slug]) for slug in PAGES}
    for name in ("dead", "scheduled"):
        args = ["task", getattr(world, name)]
        found[f"task-{name}"] = reverse("admin:qcore_dashboard_part", args=args)
    return found


def picture(browser, name: str) -> None:
    if PICTURES:
        folder = Path(PICTURES)
        folder.mkdir(parents=True, exist_ok=True)
        browser.save_screenshot(str(folder / f"{name}.png"))


def test_no_page_breaks_the_policy_or_is_wider_than_the_window(
    browser, live_server, world
):
    for width in (360, 768, 1280, 1720):
        browser.set_window_size(width, 900)
        for name, address in addresses(world).items():
            browser.get(f"{live_server.url}{address}")
            picture(browser, f"{name}-{width}")
            inner, outer = browser.execute_script(
                "return [document.querySelector('.qd').scrollWidth, innerWidth]"
            )
            assert inner <= outer, (name, width, inner, outer)
            told = [entry["message"] for entry in browser.get_log("browser")]
            assert told == [], (name, width)


def test_the_page_refreshes_itself_and_stops_while_somebody_types(
    browser, live_server, world
):
    """The first request of htmx is seen; with the focus in a field, none is sent."""
    browser.set_window_size(1280, 900)
    browser.get(f"{live_server.url}{addresses(world)['overview']}")
    browser.execute_script(
        "window.seen = 0; document.addEventListener('htmx:afterRequest',"
        " () => { window.seen += 1; });"
        " window.refresh = () => htmx.ajax('GET', location.href + '?fragment=1',"
        " {source: '#qd-live', target: '#qd-live', swap: 'innerHTML'});"
    )
    browser.execute_script("refresh()")
    WebDriverWait(browser, stretched(30)).until(
        lambda _: browser.execute_script("return window.seen") == 1
    )
    assert browser.find_elements(By.CSS_SELECTOR, ".qd-answers")
    browser.find_element(By.ID, "qd-id").send_keys("abc")
    browser.execute_script("refresh()")  # it is refused before it is sent
    assert browser.execute_script("return window.seen") == 1
    assert browser.find_element(By.ID, "qd-id").get_attribute("value") == "abc"


def test_a_queue_is_paused_by_the_keyboard_alone(browser, live_server, world):
    from qcore.tasks import paused

    browser.get(f"{live_server.url}{addresses(world)['queues']}")
    browser.find_element(By.CSS_SELECTOR, "input[name=reason]").send_keys(
        "a deploy", Keys.ENTER
    )
    WebDriverWait(browser, stretched(30)).until(
        lambda _: browser.find_elements(By.CSS_SELECTOR, ".messagelist")
    )
    assert {one.queue: one.reason for one in paused()}["tests"] == "a deploy"


def test_the_dark_mode_of_the_admin_reaches_the_pages(browser, live_server, world):
    browser.set_window_size(1280, 900)
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": "dark"}]},
    )
    try:
        for name, address in addresses(world).items():
            browser.get(f"{live_server.url}{address}")
            picture(browser, f"{name}-dark")
        colour = browser.execute_script(
            "return getComputedStyle(document.querySelector('.qd-box')).backgroundColor"
        )
        assert colour == "rgb(18, 18, 18)"
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
