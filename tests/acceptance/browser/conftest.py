"""The demo as a newcomer runs it, and Debian's Chromium in front of it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright
from tests.acceptance.browser.demo import Demo, Visitor
from tests.acceptance.processes import Running, three_free_ports

QUIET = (  # a test browser has no business outside this machine
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--metrics-recording-only",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-features=MediaRouter,OptimizationHints,AutofillServerCommunication,Translate",
)


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """`stakewire up` on ports and data of its own, for all tests of a module."""
    folder = Path(tempfile.mkdtemp(prefix="stakewire-browser-"))
    port = three_free_ports()
    data = folder / "data"
    with Running("up", "--port", str(port), "--data", str(data), cwd=folder) as running:
        running.wait_for_line("Ctrl-C stops everything")
        demo = Demo(folder, data, port)
        demo.open_season()
        yield demo
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One headless Chromium."""
    chromium = shutil.which("chromium")
    assert chromium is not None, "the browser tests need the command chromium; `make test` installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture
def visitor(demo: Demo, browser: Browser) -> Iterator[Visitor]:
    """A fresh browser profile; afterwards nothing may have gone wrong in it, or left this machine."""
    visitor = Visitor(demo, browser)
    yield visitor
    visitor.close()
    assert visitor.strangers == [], "requests to other machines"
    assert visitor.complaints == [], "errors in the browser's console"
