"""A hub class on a real server with the system's clock, and clients of ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from stakewire.clock import SystemClock
from stakewire.net.http import HttpLimits, HttpServer
from stakewire.net.signalr import Hub, HubServer
from stakewire.net.sockets import bind, origin

H = TypeVar("H", bound=Hub)


async def _no_app(scope: object, receive: object, send: object) -> None:
    raise RuntimeError("the hub is all there is")


@asynccontextmanager
async def serving(hub: HubServer[Any]) -> AsyncIterator[str]:
    """The address of the hub's server, for the length of the block; the hub's path comes behind it."""
    server = HttpServer(
        app=_no_app,
        find_hot=lambda method, path: None,
        find_direct=hub.find_direct,
        limits=HttpLimits(),
        trusted_proxies=(),
        clock=SystemClock(),
    )
    (sock,) = bind("127.0.0.1", 0)
    try:
        async with hub:
            await server.start(sock)
            yield origin(sock)
    finally:
        await server.stop(1.0)
