"""A real hub on a real socket, a proxy that cuts, and what tests of the client have in common."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from stakewire.client.signalr import (
    ClientOptions,
    HubConnection,
    ReconnectSchedule,
    State,
    StateChange,
    Transport,
)
from stakewire.clock import SystemClock
from stakewire.errors import StakewireError
from stakewire.net.http import HttpLimits, HttpServer
from stakewire.net.signalr import Hub, HubError, HubOptions, HubServer, Stream, anonymous, authorize
from stakewire.net.signalr.auth import Authenticate
from stakewire.net.sockets import bind

AT_ONCE = ReconnectSchedule(waits=(0.0,))
QUICK = ClientOptions(reconnect=AT_ONCE, resume=AT_ONCE, close_seconds=2.0, connect_seconds=5.0)
WAIT = 20.0  # seconds after which a test has hung


class Reading(msgspec.Struct):
    """A typed value that goes both ways."""

    place: str
    celsius: float


@dataclass
class World:
    """What the hub's methods see and change; tests look at it."""

    released: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    uploaded: list[Any] = field(default_factory=list)
    upload_errors: list[str] = field(default_factory=list)
    ended: list[str | None] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    server: HubServer[TestHub] | None = None


class TestHub(Hub):
    """Every kind of method."""

    __test__ = False

    def __init__(self, world: World) -> None:
        self.world = world

    async def on_disconnected(self, error: str | None) -> None:
        self.world.ended.append(error)

    async def add(self, a: int, b: int) -> int:
        return a + b

    async def echo(self, text: str) -> str:
        return text

    async def idle(self, seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds

    async def warmer(self, reading: Reading) -> Reading:
        return Reading(reading.place, reading.celsius + 1)

    async def nothing(self) -> None:
        return None

    async def refuse(self) -> None:
        raise HubError("not today")

    async def explode(self) -> None:
        raise RuntimeError("secret detail")

    async def who(self) -> str | None:
        return self.context.user_id

    async def wait(self) -> str:
        self.world.waiting.append(self.context.connection_id)
        await self.world.released.wait()
        return "released"

    async def count(self, number: int) -> None:
        self.world.calls.append(number)

    async def counter(self, upto: int) -> AsyncIterator[int]:
        for number in range(upto):
            yield number

    async def endless(self) -> AsyncIterator[int]:
        try:
            number = 0
            while True:
                yield number
                number += 1
                await asyncio.sleep(0)
        finally:
            self.world.cancelled.set()

    async def failing(self) -> AsyncIterator[int]:
        yield 1
        raise HubError("after one")

    async def upload(self, readings: Stream[Reading]) -> int:
        try:
            async for reading in readings:
                self.world.uploaded.append(reading)
        except Exception as error:
            self.world.upload_errors.append(str(error))
            raise
        return len(self.world.uploaded)

    async def both_ways(self, numbers: Stream[int], factor: int) -> AsyncIterator[int]:
        async for number in numbers:
            yield number * factor

    async def ask_me(self, question: str) -> str:
        return await self.clients.caller.invoke("Answer", question, result=str, timeout=WAIT)

    async def call_back(self, count: int) -> int:
        for number in range(count):
            await self.clients.caller.send("Number", number)
        return count

    async def watch(self, name: str) -> str:
        assert self.world.server is not None
        self.world.server.topic(name, target="State").subscribe(self.context.connection)
        return name

    async def leave(self) -> None:
        self.context.abort()

    async def go_away(self, error: str | None, again: bool) -> None:
        self.context.connection.close(error, allow_reconnect=again)

    @authorize()
    async def members_only(self) -> str:
        return "in"


@dataclass
class HubPeer:
    """One hub server process, so to say, on a port of its own."""

    url: str
    world: World
    hub: HubServer[TestHub]
    http: HttpServer

    async def stop(self) -> None:
        """As a deployment stops it: clients are told to come back."""
        await self.hub.stop(2.0)
        await self.http.stop(2.0)

    async def crash(self) -> None:
        """As `kill -9` would: nobody listens any more, and every connection drops without a word."""
        self.http._listeners[0].close()
        self.cut_all()

    def cut_all(self) -> None:
        """Drop every transport without a word."""
        for connection in list(self.hub.endpoint.connections):
            if connection.link is not None:
                connection.link.abort()


async def serve(
    options: HubOptions | None = None,
    *,
    world: World | None = None,
    port: int = 0,
    authenticate: Authenticate = anonymous,
    choose_server: Any = None,
) -> HubPeer:
    """Start a hub; `port` 0 takes a free one."""
    world = World() if world is None else world
    seen = world

    hub = HubServer(
        TestHub,
        options=options or HubOptions(),
        authenticate=authenticate,
        provide=lambda cls: cls(seen),
        choose_server=choose_server,
    )
    world.server = hub
    http = HttpServer(
        app=_app,
        find_hot=lambda method, path: None,
        find_direct=hub.find_direct,
        limits=HttpLimits(),
        trusted_proxies=(),
        clock=SystemClock(),
    )
    sock = bind("127.0.0.1", port)[0]
    await http.start(sock)
    await hub.start()
    return HubPeer(f"http://127.0.0.1:{sock.getsockname()[1]}/hub", world, hub, http)


async def _app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})


@contextlib.asynccontextmanager
async def serving(options: HubOptions | None = None, **more: Any) -> AsyncIterator[HubPeer]:
    """A hub for one test."""
    peer = await serve(options, **more)
    try:
        yield peer
    finally:
        await peer.stop()


def options_for(transport: Transport, protocol: str, **more: Any) -> ClientOptions:
    """Quick ones that allow one transport."""
    return replace(QUICK, transports=frozenset({transport}), protocol=protocol, **more)


def port_of(url: str) -> int:
    """Of a hub's URL."""
    return int(url.removesuffix("/hub").rpartition(":")[2])


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that the event loop brings about."""
    async with asyncio.timeout(WAIT):
        while not condition():
            await asyncio.sleep(0.002)


class States:
    """The states a connection goes through from now on."""

    def __init__(self, hub: HubConnection) -> None:
        self.seen: list[State] = []
        self.errors: list[StakewireError | None] = []
        hub.on_state(self._note)

    def _note(self, change: StateChange) -> None:
        self.seen.append(change.new)
        self.errors.append(change.error)

    async def reach(self, state: State) -> None:
        """Wait until it has been in `state`."""
        await until(lambda: state in self.seen)


class CuttingProxy:
    """TCP in between: cuts every connection on demand, or after a number of bytes in one direction.

    Attributes:
        limit: gives, for each new connection, the bytes that may pass to the server and to the client before
            it is cut; None for no end.
        connections: made so far.
        cuts: connections that ended, nearly all of them by its doing.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._open: set[_Relay] = set()
        self.limit: Callable[[], tuple[int | None, int | None]] = lambda: (None, None)
        self.connections = 0
        self.cuts = 0

    async def start(self) -> str:
        """The address to use instead: `127.0.0.1:port`."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Relay(self), "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return f"127.0.0.1:{port}"

    async def stop(self) -> None:
        """Refuse and drop everything."""
        assert self._server is not None
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def cut(self) -> None:
        """Drop every connection as a broken line does."""
        for relay in tuple(self._open):
            relay.cut()

    @property
    def open(self) -> int:
        """Connections that stand."""
        return len(self._open)

    @property
    def target(self) -> tuple[str, int]:
        """Where it leads."""
        return self._target

    @target.setter
    def target(self, target: tuple[str, int]) -> None:
        self._target = target


class _Relay(asyncio.Protocol):
    """One connection of the proxy; `_Back` is its other half."""

    def __init__(self, proxy: CuttingProxy) -> None:
        self.proxy = proxy
        self.to_server, self.to_client = proxy.limit()
        proxy.connections += 1
        self.client: asyncio.Transport | None = None
        self.server: asyncio.Transport | None = None
        self._waiting = b""
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.client = transport
        self.proxy._open.add(self)
        self._task = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_connection(lambda: _Back(self), *self.proxy.target)
        except OSError:
            self.cut()
            return
        assert isinstance(transport, asyncio.Transport)
        self.server = transport
        if self.client is None or self.client.is_closing():
            transport.abort()
            return
        data, self._waiting = self._waiting, b""
        if data:
            self.data_received(data)

    def data_received(self, data: bytes) -> None:
        if self.server is None:
            self._waiting += data
            return
        if self.server.is_closing():
            return
        if self.to_server is not None:
            data, whole = data[: self.to_server], data
            self.to_server -= len(data)
            self.server.write(data)
            if len(data) < len(whole) or self.to_server == 0:
                self.cut()
            return
        self.server.write(data)

    def from_server(self, data: bytes) -> None:
        assert self.client is not None
        if self.client.is_closing():
            return
        if self.to_client is not None:
            data, whole = data[: self.to_client], data
            self.to_client -= len(data)
            self.client.write(data)
            if len(data) < len(whole) or self.to_client == 0:
                self.cut()
            return
        self.client.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.cut()

    def cut(self) -> None:
        """Close both sides: what was passed on so far still arrives, nothing more does."""
        if self in self.proxy._open:
            self.proxy._open.remove(self)
            self.proxy.cuts += 1
        for transport in (self.client, self.server):
            if transport is not None and not transport.is_closing():
                transport.close()


class _Back(asyncio.Protocol):
    def __init__(self, relay: _Relay) -> None:
        self._relay = relay

    def data_received(self, data: bytes) -> None:
        self._relay.from_server(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._relay.cut()


@contextlib.asynccontextmanager
async def through_proxy(url: str) -> AsyncIterator[tuple[CuttingProxy, str]]:
    """A proxy before the hub at `url`, and the URL that leads through it."""
    host, port = url.removeprefix("http://").removesuffix("/hub").split(":")
    proxy = CuttingProxy(host, int(port))
    address = await proxy.start()
    try:
        yield proxy, f"http://{address}/hub"
    finally:
        await proxy.stop()
