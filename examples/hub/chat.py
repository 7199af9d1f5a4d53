"""A chat with rooms and streams: a hub, a page, and a server for both.

    python chat.py [PORT] [POSTGRESQL-URL]

With the address of a database several processes are one hub.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

from stakewire.clock import SystemClock
from stakewire.ids import SystemTokens
from stakewire.net.http import HttpLimits, HttpServer
from stakewire.net.signalr import Hub, HubError, HubRequest, HubServer, Principal, Stream
from stakewire.net.sockets import bind, origin
from stakewire.postgres.backplane.store import PostgresBackplane


class ChatHub(Hub):
    """Clients call these methods; on the wire they are `Join`, `SendMessage`, `Countdown`, `Count`."""

    async def join(self, room: str) -> None:
        """Hear what is said in a room."""
        await self.groups.add(self.context.connection_id, room)
        await self.clients.others_in_group(room).send("Joined", room, self.context.user_id)

    async def send_message(self, room: str, text: str) -> None:
        """Say something to everybody in a room; an exception's text reaches the caller only as HubError."""
        if not text.strip():
            raise HubError("Say something.")
        await self.clients.group(room).send("Said", room, self.context.user_id, text)

    async def countdown(self, start: int) -> AsyncIterator[int]:
        """A stream to the client; it ends early when the client leaves it."""
        for number in range(min(start, 1_000), -1, -1):
            yield number
            await asyncio.sleep(0.1)

    async def count(self, words: Stream[str]) -> int:
        """A stream from the client."""
        return sum([1 async for _ in words])


def who(request: HubRequest) -> Principal:
    """Whom a request comes from. Here anybody may say so; yours is a `JwtAuthenticator`."""
    return Principal(request.parameter("user"))


HERE = Path(__file__).absolute().parent
CLIENT = "node_modules/@microsoft/signalr/dist/browser/signalr.min.js"


async def page(request: Request) -> FileResponse:
    """The page."""
    return FileResponse(HERE / "index.html")


async def client(request: Request) -> FileResponse:
    """The browser's client."""
    return FileResponse(find_client())


def find_client() -> Path:
    """Where npm put it: beside this file or above, or in the folder `web` there."""
    for folder in (HERE, *HERE.parents):
        for place in (folder / CLIENT, folder / "web" / CLIENT):
            if place.exists():
                return place
    sys.exit("The page needs the browser's client; run: npm install @microsoft/signalr")


async def main(port: int, database: str | None) -> None:
    """Serve until interrupted."""
    find_client()
    clock, tokens = SystemClock(), SystemTokens()
    backplane = PostgresBackplane(database, channel="chat", clock=clock, tokens=tokens) if database else None
    hub = HubServer(ChatHub, path="/chat", authenticate=who, backplane=backplane)
    server = HttpServer(
        app=Starlette(routes=[Route("/", page), Route("/signalr.js", client)]),
        find_hot=lambda method, path: None,
        find_direct=hub.find_direct,
        limits=HttpLimits(),
        trusted_proxies=(),
        clock=clock,
    )
    (sock,) = bind("127.0.0.1", port)
    async with hub:
        await server.start(sock)
        print(f"chat ready on {origin(sock)}/", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 9003, sys.argv[2] if len(sys.argv) > 2 else None)
    )
