"""The Python servers that the hub is compared with: `python -m benchmarks.hub.peers NAME PORT EVERY`.

Each sends the same feed to whoever connects, every EVERY seconds, in the way its documentation shows for a
broadcast. Only aiosignalr speaks SignalR; to the others any WebSocket is a subscriber, which spares them the
handshake and the call of Subscribe.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.hub import feed


async def tick(every: float, publish: Callable[[int], Awaitable[None]]) -> None:
    """Publish version after version, at a steady pace; a late one does not delay those that follow."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    version = 0
    while True:
        version += 1
        await publish(version)
        due = max(due + every, loop.time() - every)
        await asyncio.sleep(due - loop.time())


async def starlette(port: int, every: float) -> None:
    """`send_text` in a loop over the connections, on uvicorn as it comes."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocket, WebSocketDisconnect

    connected: set[WebSocket] = set()

    async def subscribe(websocket: WebSocket) -> None:
        await websocket.accept()
        connected.add(websocket)
        try:
            while True:
                await websocket.receive_text()
        except WebSocketDisconnect:
            connected.discard(websocket)

    async def publish(version: int) -> None:
        text = feed.message(version).decode()
        for websocket in tuple(connected):
            await websocket.send_text(text)

    app = Starlette(routes=[WebSocketRoute("/hub", subscribe)])
    config = uvicorn.Config(
        app, port=port, log_level="error", backlog=4096, ws_per_message_deflate=False, lifespan="off"
    )
    _, _ = await asyncio.gather(uvicorn.Server(config).serve(), tick(every, publish))


async def websockets(port: int, every: float) -> None:
    """`broadcast`, which frames once and skips back-pressure."""
    from websockets.asyncio.server import ServerConnection, broadcast, serve

    connected: set[ServerConnection] = set()

    async def subscribe(websocket: ServerConnection) -> None:
        connected.add(websocket)
        try:
            await websocket.wait_closed()
        finally:
            connected.discard(websocket)

    async def publish(version: int) -> None:
        broadcast(connected, feed.message(version).decode())

    async with serve(subscribe, "127.0.0.1", port, compression=None, backlog=4096):
        await tick(every, publish)


async def aiosignalr(port: int, every: float) -> None:
    """A hub of the SignalR server on PyPI, and its `clients.all_.send`, over aiohttp as in its `serve`."""
    from aiohttp import web
    from aiosignalr.server import Hub, ServerOptions, SignalRServer
    from aiosignalr.server.aiohttp_server import build_aiohttp_app

    class Games(Hub):
        async def subscribe(self) -> None:
            await self.groups.add("games")

    server = SignalRServer(Games, options=ServerOptions())
    runner = web.AppRunner(build_aiohttp_app(server), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()

    async def publish(version: int) -> None:
        await server.lifetime.send_group("games", feed.TARGET, (feed.state(version),))

    await tick(every, publish)


SERVERS: dict[str, Callable[[int, float], Awaitable[Any]]] = {
    "starlette": starlette,
    "websockets": websockets,
    "aiosignalr": aiosignalr,
}

if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    name, port_text, every_text = sys.argv[1:]
    asyncio.run(SERVERS[name](int(port_text), float(every_text)))  # type: ignore[arg-type]
