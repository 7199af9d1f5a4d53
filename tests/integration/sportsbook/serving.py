"""A served sportsbook and a wallet that speaks the contract over HTTP, both on loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse, ClientSession, web

from stakewire.net.sockets import bind
from stakewire.sportsbook.app import serve
from stakewire.sportsbook.config import SportsbookConfig
from stakewire.wire.sportsbook.answers import failure, success
from stakewire.wire.sportsbook.codes import Code
from stakewire.wire.sportsbook.messages import Action, Endpoint, Transaction, parse_callback
from stakewire.wire.sportsbook.signing import Secret, check_signature

SECURITY_HASH = "a security hash of the tests"


@dataclass
class WalletOverHttp:
    """Answers callbacks as the contract says; `answers` overrides the next ones: a code, or silence."""

    url: str = ""
    received: list[Transaction] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    heard: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        headers = [(name.lower().encode(), value.encode()) for name, value in request.headers.items()]
        check_signature(raw, headers, [Secret(SECURITY_HASH)])
        said = parse_callback(Endpoint(request.path.rpartition("/")[2]), raw)
        async with self.heard:
            self.received.append(said)
            self.heard.notify_all()
        answer = self.answers.pop(0) if self.answers else ""
        if answer == "silence":
            assert request.transport is not None
            request.transport.abort()
            raise asyncio.CancelledError
        body = failure(Code(answer)) if answer else success(f"w-{len(self.received)}")
        return web.Response(body=body, content_type="application/json")

    async def until(self, action: Action, times: int = 1) -> list[Transaction]:
        """Wait until that many callbacks of this kind have come."""

        def come() -> list[Transaction]:
            return [one for one in self.received if one.action is action]

        async with asyncio.timeout(20), self.heard:
            await self.heard.wait_for(lambda: len(come()) >= times)
        return come()


@asynccontextmanager
async def wallet_over_http() -> AsyncIterator[WalletOverHttp]:
    wallet = WalletOverHttp()
    app = web.Application()
    app.router.add_post("/callbacks/{endpoint}", wallet.handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    wallet.url = f"http://127.0.0.1:{port}/callbacks"
    try:
        yield wallet
    finally:
        await runner.cleanup()


@asynccontextmanager
async def served(config: SportsbookConfig, sockets: list[socket.socket] | None = None) -> AsyncIterator[str]:
    """Serve a sportsbook on a free port, with everything that runs beside the requests; gives its address."""
    stop = asyncio.Event()
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(config, sockets or bind("127.0.0.1", 0), stop, ready=address.set_result))
    try:
        task.add_done_callback(lambda ended: _tell(ended, address))
        yield await address
    finally:
        stop.set()
        with suppress(asyncio.CancelledError):
            await task


def _tell(ended: asyncio.Task[None], address: asyncio.Future[str]) -> None:
    """A server that could not start says why to whoever waits for its address."""
    if not address.done() and not ended.cancelled() and (error := ended.exception()) is not None:
        address.set_exception(error)


class Browser:
    """A player's browser inside the iframe, or a client's server: JSON in, status and JSON out."""

    def __init__(self, http: ClientSession, base: str) -> None:
        self._http = http
        self.base = base
        self.headers: dict[str, str] = {}

    async def get(self, path: str, **options: Any) -> tuple[int, Any]:
        return await self._call("GET", path, **options)

    async def post(self, path: str, body: object, **options: Any) -> tuple[int, Any]:
        return await self._call("POST", path, json=body, **options)

    async def _call(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        headers = {**self.headers, **options.pop("headers", {})}
        async with self._http.request(method, self.base + path, headers=headers, **options) as response:
            return response.status, await _content(response)


async def _content(response: ClientResponse) -> Any:
    return await response.json() if response.content_type == "application/json" else await response.text()


def page_folder(folder: Path) -> Path:
    """A built page of one line, for tests that need none of its content."""
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>page</title>")
    (folder / "assets" / "page-1a2b.js").write_text("console.log(1)")
    return folder
