"""The hub of these tests behind our own server, and beside it what the clients need to be tried.

`python -m tests.interop.server FILES` prints one line of JSON with its addresses: `base`, `proxy` (the same
hub over lines that can be cut) and `control`, which gives

    GET /token?user=&seconds=     a token
    GET /cut?line=&after=         cut a line of the proxy after so many bytes more
    GET /files/...                files of the folder FILES, for a browser
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from pathlib import Path

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from tests.interop.cutter import Cutter
from tests.interop.hub import Diary, InteropHub, authenticator, token_for

from stakewire.clock import SystemClock
from stakewire.net.http import HttpLimits, HttpServer
from stakewire.net.signalr import Hub, HubOptions, HubRequest, HubServer, Principal
from stakewire.wire.signalr.negotiate import Redirect


def new_hub(*origins: str) -> HubServer[InteropHub]:
    """The hub, with pings that come within a test's patience."""
    diary = Diary()
    return HubServer(
        InteropHub,
        options=HubOptions(
            stateful_reconnect=True, keep_alive_seconds=0.5, allowed_origins=frozenset(origins)
        ),
        authenticate=authenticator(),
        provide=lambda hub: hub(diary),
    )


def redirecting_hub(target: str, *origins: str) -> HubServer[Hub]:
    """Sends whoever negotiates to another hub, with a token for the user of its query."""

    def choose(request: HubRequest, principal: Principal) -> Redirect:
        return Redirect(target, token_for(request.parameter("user") or ""))

    options = HubOptions(allowed_origins=frozenset(origins))
    return HubServer(Hub, path="/redirected", options=options, choose_server=choose)


def control(cutter: Cutter, files: Path) -> Starlette:
    """Tokens, cuts and files."""

    async def token(request: Request) -> Response:
        seconds = int(request.query_params.get("seconds", "60"))
        return PlainTextResponse(token_for(request.query_params["user"], seconds))

    async def cut(request: Request) -> Response:
        await cutter.cut(request.query_params["line"].encode(), int(request.query_params["after"]))
        return PlainTextResponse("")

    return Starlette(
        routes=[Route("/token", token), Route("/cut", cut), Mount("/files", StaticFiles(directory=files))]
    )


async def main(files: Path) -> None:
    """Run until standard input ends."""
    structlog.configure(
        processors=[structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    control_sock, hub_sock = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    cutter = Cutter(hub_sock.getsockname()[1])
    proxy = await asyncio.start_server(cutter.serve, "127.0.0.1", 0)
    page = address(control_sock)
    app = control(cutter, files)
    base = address(hub_sock)
    async with new_hub(page) as hub, redirecting_hub(f"{base}/hub", page) as redirecting:
        servers = [
            HttpServer(
                app=app,
                find_hot=lambda method, path: None,
                find_direct=lambda method, path: (
                    hub.find_direct(method, path) or redirecting.find_direct(method, path)
                ),
                limits=HttpLimits(),
                trusted_proxies=(),
                clock=SystemClock(),
            )
            for _ in range(2)
        ]
        for server, sock in zip(servers, (control_sock, hub_sock), strict=True):
            await server.start(sock)
        where = {"control": page, "base": base, "proxy": address(proxy.sockets[0])}
        print(json.dumps(where), flush=True)
        await asyncio.to_thread(sys.stdin.read)
    for server in servers:
        await server.stop(1)
    proxy.close()


def address(sock: socket.socket) -> str:
    return f"http://127.0.0.1:{sock.getsockname()[1]}"


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
