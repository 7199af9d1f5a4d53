"""The server under test, once for all clients, and what the JavaScript client said of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from tests.acceptance.processes import environment
from tests.interop.groups import GROUPS, Group, Results

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CLIENT = ROOT / "web" / "node_modules" / "@microsoft"


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Addresses of the running server: `base`, `proxy`, `control`."""
    files = tmp_path_factory.mktemp("files")
    for source in (*HERE.glob("browser.html"), *HERE.glob("*.mjs"), *CLIENT.glob("*/dist/browser/*.min.js")):
        shutil.copy(source, files)
    with subprocess.Popen(
        [sys.executable, "-m", "tests.interop.server", str(files)],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said, "the server did not start"
        yield json.loads(said)
        process.communicate()


@pytest.fixture(scope="package")
def in_node(server: dict[str, str]) -> dict[Group, Results]:
    """The client of npm in Node: one process a group, all at once."""

    def check(group: Group) -> Results:
        said = json.dumps({"group": group.json(), "env": server})
        command = ["node", str(HERE / "node.mjs"), said]
        return dict(json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout))

    with ThreadPoolExecutor(len(GROUPS)) as pool:
        return dict(zip(GROUPS, pool.map(check, GROUPS), strict=True))


@pytest.fixture(scope="package")
def in_chromium(server: dict[str, str]) -> dict[Group, Results]:
    """The client of npm in Chromium: a page and a profile a group, all at once, from another origin."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        pages = []
        for group in GROUPS:
            page = browser.new_context().new_page()
            page.goto(f"{server['control']}/files/browser.html")
            page.evaluate("([group, env]) => void start(group, env)", [group.json(), server])
            pages.append(page)
        results = {group: page.evaluate("results") for group, page in zip(GROUPS, pages, strict=True)}
        browser.close()
        return results
