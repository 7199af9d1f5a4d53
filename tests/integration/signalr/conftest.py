"""Hubs on real sockets, on both event loops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import pytest
import uvloop
from tests.integration.signalr.hosting import PATH, EchoHub, Host

from stakewire.net.http import HttpLimits, HttpServer
from stakewire.net.signalr.auth import Authenticate, anonymous
from stakewire.net.signalr.endpoint import HubEndpoint
from stakewire.net.signalr.negotiate import ChooseServer
from stakewire.net.signalr.options import HubOptions
from stakewire.net.sockets import bind
from stakewire.testing import ManualClock, SeededTokens

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
NewHost = Callable[..., Awaitable[Host]]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    """Every claim holds on both event loops: production runs on uvloop, a user's program may not."""
    if item.path.name == "test_asgi_servers.py":
        return {"uvloop": uvloop.new_event_loop}  # the loop under test is in another process
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


async def _no_app(scope: object, receive: object, send: object) -> None:
    raise RuntimeError("the hub is all there is")


@pytest.fixture
async def new_host() -> AsyncIterator[NewHost]:
    """Starts hubs: `await new_host(options=..., authenticate=...)`; all are stopped afterwards."""
    hosts: list[Host] = []

    async def start(
        *,
        options: HubOptions | None = None,
        authenticate: Authenticate = anonymous,
        choose_server: ChooseServer | None = None,
        clock: ManualClock | None = None,
    ) -> Host:
        clock = clock or ManualClock()
        hub = EchoHub()
        endpoint = HubEndpoint(
            hub,
            path=PATH,
            clock=clock,
            tokens=SeededTokens(),
            options=options,
            authenticate=authenticate,
            choose_server=choose_server,
        )
        server = HttpServer(
            app=_no_app,
            find_hot=lambda method, path: None,
            find_direct=endpoint.find_direct,
            limits=HttpLimits(),
            trusted_proxies=(),
            clock=clock,
        )
        (sock,) = bind("127.0.0.1", 0)
        await server.start(sock)
        endpoint.start()
        hosts.append(Host(hub, endpoint, server, clock, sock.getsockname()))
        return hosts[-1]

    yield start
    for host in hosts:
        for client in host.clients:
            client.close()
        await host.endpoint.stop(0.05)
        await host.server.stop(1.0)


@pytest.fixture
async def host(new_host: NewHost) -> Host:
    """A hub with the default options, open to everybody."""
    return await new_host()
