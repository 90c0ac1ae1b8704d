"""A headless Chromium for tests of pages; tests skip where there is none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_PLACES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser that is driven by Selenium, with a window of 1280 × 1000 pixels."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from selenium.webdriver.chrome.service import Service

    program = next(filter(None, map(shutil.which, _PLACES)), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("needs the programs chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    if os.geteuid() == 0:  # Chromium's sandbox does not run as root
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    try:
        resize(browser, 1280, 1000)
        yield browser
    finally:
        browser.quit()


def resize(browser: Any, width: int, height: int) -> None:
    """Give the window another size, in pixels."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def emulate(browser: Any, *, media: str = "", scheme: str = "light") -> None:
    """Show the page as print, or in another colour scheme."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})


def show(browser: Any, page: Path, fragment: str = "") -> None:
    """Open a page from a file, in light colours and with an empty console."""
    emulate(browser)
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get(page.resolve().as_uri() + fragment)


def console(browser: Any) -> list[str]:
    """What the page has written to the console: errors, warnings, refused requests."""
    return [str(entry["message"]) for entry in browser.get_log("browser")]
