"""A real Chromium that tests drive, and axe-core, which looks for barriers in a page.

Debian's packages ``chromium`` and ``chromium-driver`` bring the browser. axe-core comes in a
Python package, in an environment of its own: ``python3 noxfile.py -s servers``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from servers.base import ServerMissing
from servers.environments import ROOT

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

#: Chromium runs without its sandbox, for root may not use it, and asks nobody outside.
WORDS = (
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
)
_AXE = "server-axe/lib/python3*/site-packages/axe_playwright_python/axe.min.js"
#: Asks axe for all that it knows of WCAG and of good practice; answers with the barriers.
#: The breadcrumbs are Django's own: their links differ from the text by colour alone.
_RUN = """
const done = arguments[arguments.length - 1];
axe.run({exclude: ['.breadcrumbs']}, {resultTypes: ['violations']}).then(found => done(found.violations.map(
    one => one.id + ': ' + one.nodes.map(node => node.html.slice(0, 200)).join(' | '))));
"""


@contextmanager
def start_chromium() -> Iterator[Chrome]:
    """Start a Chromium, and end it afterwards.

    Raises:
        ServerMissing: selenium, the browser, or its driver is not installed.
    """
    try:
        from selenium import webdriver
    except ImportError as error:
        raise ServerMissing("selenium is not installed") from error
    programs = [shutil.which("chromium"), shutil.which("chromedriver")]
    if None in programs:
        raise ServerMissing("chromium or chromium-driver is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location, path = programs
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for word in WORDS:
        options.add_argument(word)
    # else selenium looks for a driver in the web, and counts its users
    os.environ.setdefault("SE_OFFLINE", "true")
    os.environ.setdefault("SE_AVOID_STATS", "true")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(path))
    try:
        driver.set_script_timeout(240)  # what hangs; a busy machine takes its time
        yield driver
    finally:
        driver.quit()


def axe_source() -> str:
    """Return the text of axe-core.

    Raises:
        ServerMissing: its environment was not made.
    """
    for path in (ROOT / ".nox").glob(_AXE):
        return path.read_text()
    raise ServerMissing("axe-core is not installed: noxfile.py -s servers")


def barriers(browser: Chrome, source: str) -> list[str]:
    """Return what keeps people out of the page that is open, by axe-core.

    Args:
        browser: shows the page.
        source: of axe-core, see ``axe_source``.
    """
    # not as a script of the page, which its Content-Security-Policy may refuse
    browser.execute_cdp_cmd("Runtime.evaluate", {"expression": source})
    found: list[str] = browser.execute_async_script(_RUN)
    return found


def emulate(browser: Chrome, scheme: str, width: int) -> None:
    """Show pages in a colour scheme, ``light`` or ``dark``, and a width in pixels."""
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    size: dict[str, Any] = {"width": width, "height": 900}
    size |= {"deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
