"""The pages in a real Chromium: its errors, the keyboard, and widths; with screenshots.

``python3 noxfile.py -s browser`` runs this file; no other session does, for a browser asks the
server when it wants. ``test_chromium.py`` is the part that every run has.
"""

from __future__ import annotations

import datetime as dt
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait
from support.chromium import start_chromium

from qcore import Result, status
from qcore.envelope import new_id
from qcore.models import Schedule, ScheduleSlot
from qcore.results.orm import OrmStore
from qcore.runtime import current
from qcore.status import Progress, Snapshot, WorkerStatus
from qcore.tasks import pause, paused
from qcore.testing.speed import stretched
from qcore_dashboard.models import Minute

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.service]

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
def chromium() -> Iterator[Chrome]:
    with start_chromium() as browser:
        yield browser


def log_in(chromium, live_server) -> Chrome:
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


@pytest.fixture
def browser(chromium, live_server, world) -> Chrome:
    return log_in(chromium, live_server)


@pytest.fixture
def shop(db, make, later) -> dict[str, str]:
    """A shop on a good day, with one supplier that is away; the ids of some tasks."""
    now = time.time()

    def ended(func: str, ago: float, seconds: float = 0.2, **given: object) -> Result:
        found = make(func=func, name=f"{func.rpartition('.')[2]}-{int(ago)}", **given)
        task = msgspec.structs.replace(found.task, created=now - ago - seconds - 0.4)
        return msgspec.structs.replace(
            found, task=task, started=now - ago - seconds, stopped=now - ago
        )

    away = "ConnectionError: supplier.example refused the connection\n\nTraceback ..."
    results = [
        ended(f"shop.tasks.{name}", 7 + 11 * n, args=[4711 + n], group="orders")
        for n, name in enumerate(["send_invoice", "resize_photo", "send_mail"] * 6)
    ]
    results += [
        ended("shop.tasks.order_stock", 30 + 60 * n, 5.0, outcome="failure", error=away)
        for n in range(4)
    ]
    OrmStore(current.conf).save(results)
    for number in range(60):
        wave = 40 + int(25 * math.sin(number / 6))
        Minute.objects.create(
            minute=int(now // 60) - number,
            queue="tests",
            succeeded=wave,
            failed=3 if number in {0, 1, 2, 3} else 0,
            run_seconds=wave * (0.2 + number / 300),
            begun=wave,
            wait_seconds=wave * 0.05,
        )
    names = ("send_invoice", "resize_photo", "export_year", None)
    workers = [
        WorkerStatus(
            index=n + 1,
            pid=4100 + n,
            state="busy" if name else "idle",
            task_id=new_id() if name else None,
            task_name=name,
            func=f"shop.tasks.{name}" if name else None,
            seconds=(0.3, 1.2, 17.4, None)[n],
            rss=61_000 + 3_000 * n,
            done=120 + n,
            progress=Progress(done=6200, total=9000, note="rows", at=now)
            if name == "export_year"
            else None,
        )
        for n, name in enumerate(names)
    ]
    status.publish(
        Snapshot(
            cluster=new_id(), name="shop", queue="tests", host="web-1",
            version="2.0.0", broker="Redis 7.2.4", state="running",
            sentinel_pid=4090, dispatcher_pid=4091, started=now - 93_000, at=now,
            workers=workers, succeeded=41_233, failed=17, restarts=3,
        ),
        pause=600,  # it is to last for all pictures
    )  # fmt: skip
    current.broker().enqueue_many([b"x"] * 14)
    Schedule.objects.create(
        name="nightly report", func="shop.tasks.report", cron="30 2 * * *"
    )
    row = Schedule.objects.create(
        name="stock", func="shop.tasks.order_stock", schedule_type="I", minutes=15
    )
    for number, result in enumerate(results[-4:]):
        ScheduleSlot.objects.create(
            schedule=row,
            slot=timezone.now() - dt.timedelta(minutes=15 * number),
            task_id=result.task.id,
            queue="tests",
            package=b"",
            sent=timezone.now(),
        )
    pause("mail", by="ann", reason="the mail provider is down")
    return {
        "dead": results[-1].task.id,
        "scheduled": later(now + 1800, func="shop.tasks.remind", name="remind"),
    }


def addresses(ids) -> dict[str, str]:
    """Return the addresses of all pages; ``ids`` has a dead and a scheduled task."""
    ids = ids if isinstance(ids, dict) else vars(ids)
    found = {slug: reverse("admin:qcore_dashboard_page", args=[slug]) for slug in PAGES}
    for name in ("dead", "scheduled"):
        args = ["task", ids[name]]
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
            told = [
                entry["message"]
                for entry in browser.get_log("browser")
                if "/favicon.ico" not in entry["message"]  # the project has none
            ]
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


@pytest.mark.skipif(not PICTURES, reason="QCORE_PICTURES names no folder")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_of_the_manual(chromium, live_server, shop, scheme):
    browser = log_in(chromium, live_server)
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    for width in (360, 1280, 1720):
        browser.set_window_size(width, 800)
        for name, address in addresses(shop).items():
            browser.get(f"{live_server.url}{address}")
            assert browser.find_elements(By.CSS_SELECTOR, ".qd")
            browser.execute_script(
                "document.querySelector('#header')?.remove();"
                "document.querySelector('.breadcrumbs')?.remove();"
            )
            picture(browser, f"shop-{name}-{scheme}-{width}")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_a_queue_is_paused_by_the_keyboard_alone(browser, live_server, world):
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
