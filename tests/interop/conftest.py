"""The server under test, once for all clients, and what the JavaScript client said of it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from tests.acceptance.processes import environment, wait_for
from tests.interop.groups import ASGI_GROUPS, GROUPS, Group, Results

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ASGI_SERVERS = {
    "uvicorn": ("--log-level", "critical", "--timeout-graceful-shutdown", "1"),
    "granian": ("--interface", "asgi", "--log-level", "critical", "--workers-kill-timeout", "1"),
}
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
    """The client of npm in Node."""
    return node(GROUPS, server)


@pytest.fixture(scope="package")
def on_asgi(server: dict[str, str]) -> dict[str, dict[Group, Results]]:
    """The same with the hub behind other people's servers."""

    def check(name: str) -> dict[Group, Results]:
        with asgi_server(name) as base:
            return node(ASGI_GROUPS, {**server, "base": base})

    with ThreadPoolExecutor(len(ASGI_SERVERS)) as pool:
        return dict(zip(ASGI_SERVERS, pool.map(check, ASGI_SERVERS), strict=True))


def node(groups: Sequence[Group], env: Mapping[str, str]) -> dict[Group, Results]:
    """Check groups, one process each, all at once."""

    def check(group: Group) -> Results:
        said = json.dumps({"group": group.json(), "env": env})
        command = ["node", str(HERE / "node.mjs"), said]
        return dict(json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout))

    with ThreadPoolExecutor(len(groups)) as pool:
        return dict(zip(groups, pool.map(check, groups), strict=True))


@contextmanager
def asgi_server(name: str) -> Iterator[str]:
    """`tests.interop.mounted` behind an ASGI server; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    options = ["--port", str(port), *ASGI_SERVERS[name]]
    command = [sys.executable, "-m", name, "tests.interop.mounted:app", *options]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment({"BASE": base}), stdout=subprocess.DEVNULL
    ) as process:
        wait_for(lambda: reachable(port), f"{name} listens")
        yield base
        process.terminate()


def reachable(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port)):
        return True


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
