"""The example's page in a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright
from tests.acceptance.browser.conftest import QUIET
from tests.acceptance.hub.example import running_example

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One headless Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(QUIET))
        yield browser
        browser.close()


def test_the_page_in_two_browsers(browser: Browser, tmp_path: Path) -> None:
    """The stock client of npm: one types, the other reads; a stream counts down."""
    with running_example("0", folder=tmp_path) as chat:
        two_browsers(browser, chat)


def two_browsers(browser: Browser, chat: str) -> None:
    ann, bob = browser.new_page(), browser.new_page()
    for page, user in ((ann, "ann"), (bob, "bob")):
        page.goto(f"{chat}/?user={user}")
        expect(page.locator("output")).to_have_text("connected")
    ann.fill("input", "hello")
    ann.click("text=Send")
    expect(bob.locator("li")).to_have_text(["ann: hello"])
    bob.click("text=Count down")
    expect(bob.locator("li").last).to_have_text("go")
    for page in (ann, bob):
        page.close()
