"""A hub in three ASGI applications, for servers that are started as processes: whole, around, mounted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from stakewire.net.signalr import Hub, HubOptions, HubServer, Stream

ended: list[str | None] = []


class RoomHub(Hub):
    """Enough to see every kind of message."""

    async def echo(self, value: Any) -> Any:
        return value

    async def count_to(self, last: int) -> Stream[int]:
        for number in range(1, last + 1):
            yield number

    async def add(self, numbers: Stream[int]) -> int:
        return sum([number async for number in numbers])

    async def join(self, room: str) -> None:
        await self.groups.add(self.context.connection_id, room)

    async def tell(self, room: str, text: str) -> None:
        await self.clients.group(room).send("Told", text)

    async def fill(self, count: int, size: int) -> None:
        for number in range(count):
            await self.clients.caller.send("Filled", number, "x" * size)
            await asyncio.sleep(0.001)  # let those who read read

    async def endings(self) -> list[str | None]:
        return ended

    async def on_disconnected(self, error: str | None) -> None:
        ended.append(error)


hub = HubServer(RoomHub, path="/hubs/room", options=HubOptions(stateful_reconnect=True))
whole = hub.asgi()


async def front_page(request: Request) -> PlainTextResponse:
    return PlainTextResponse("somebody's app")


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with hub:
        yield


around = hub.asgi(around=Starlette(routes=[Route("/", front_page)]))
mounted = Starlette(routes=[Route("/", front_page), Mount("/hubs", hub.asgi())], lifespan=lifespan)
