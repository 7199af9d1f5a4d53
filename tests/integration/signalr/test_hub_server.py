"""Claims about a hub on real sockets: calls, streams, groups, topics, client results, and its stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from tests.integration.signalr.serving import serving

from stakewire.client.signalr import (
    ClientOptions,
    ConnectionLost,
    HubConnection,
    HubError,
    ServerClosed,
    State,
)
from stakewire.net.signalr import Hub, HubOptions, HubRequest, HubServer, InvokeFailed, Principal, Stream

PROTOCOLS = ["json", "messagepack"]


class Chat(Hub):
    def __init__(self, log: list[str]) -> None:
        self.log = log

    async def on_connected(self) -> None:
        self.log.append(f"+{self.context.user_id}")

    async def on_disconnected(self, error: str | None) -> None:
        self.log.append(f"-{self.context.user_id}")

    async def join(self, room: str) -> str:
        await self.groups.add(self.context.connection_id, room)
        return self.context.connection_id

    async def say(self, room: str, text: str) -> None:
        await self.clients.group(room).send("Said", self.context.user_id, text)

    async def count(self, to: int) -> AsyncIterator[int]:
        try:
            for number in range(to):
                yield number
        finally:
            self.log.append("count ended")

    async def total(self, items: Stream[int]) -> int:
        return sum([item async for item in items])

    async def big(self, items: int, size: int) -> AsyncIterator[str]:
        for _ in range(items):
            yield "x" * size

    async def wait(self) -> None:
        self.log.append("waits")
        await asyncio.Event().wait()


def by_name(request: HubRequest) -> Principal:
    return Principal(request.parameter("user"))


def chat(**options: Any) -> tuple[HubServer[Chat], list[str]]:
    log: list[str] = []
    server = HubServer(
        Chat,
        path="/chat",
        options=HubOptions(**options),
        authenticate=by_name,
        provide=lambda hub: hub(log),
    )
    return server, log


def client(base: str, user: str = "ann", protocol: str = "json") -> HubConnection:
    return HubConnection(f"{base}/chat?user={user}", options=ClientOptions(protocol=protocol))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_rooms_with_clients_of_both_protocols(protocol: str) -> None:
    """Whoever is in the room hears it, each in the protocol of their own; others do not."""
    server, _ = chat()
    heard: dict[str, list[Any]] = {"ann": [], "bob": [], "eve": []}
    async with serving(server) as base, AsyncExitStack() as stack:
        people = {
            "ann": await stack.enter_async_context(client(base, "ann", protocol)),
            "bob": await stack.enter_async_context(client(base, "bob")),
            "eve": await stack.enter_async_context(client(base, "eve")),
        }
        for name, one in people.items():
            one.on("Said", lambda who, text, name=name: heard[name].append((who, text)), types=(str, str))
        await people["ann"].invoke("Join", "lobby", result=str)
        await people["bob"].invoke("Join", "lobby")
        await people["ann"].invoke("Say", "lobby", "hello")
        await until(lambda: heard["ann"] == heard["bob"] == [("ann", "hello")])
        await server.clients.user("eve").send("Said", "server", "hi")
        await until(lambda: heard["eve"] == [("server", "hi")])


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_streams_both_ways(protocol: str) -> None:
    """All items arrive in order; leaving the loop ends the generator on the server."""

    async def numbers() -> AsyncIterator[int]:
        for number in range(100):
            yield number

    server, log = chat()
    async with serving(server) as base, client(base, protocol=protocol) as ann:
        assert [item async for item in ann.stream("Count", 500, item=int)] == list(range(500))
        assert await ann.invoke("Total", numbers(), result=int) == 4950
        log.clear()
        stream = ann.stream("Count", 1_000_000, item=int)
        assert await anext(stream) == 0
        await stream.aclose()
        await until(lambda: log == ["count ended"])


async def test_a_stream_larger_than_all_buffers_arrives() -> None:
    """Back-pressure holds the generator, so that a long stream never passes the bound on unsent bytes."""
    server, _ = chat(max_unsent_bytes=64 * 1024)
    async with serving(server) as base, client(base) as ann:
        sizes = [len(item) async for item in ann.stream("Big", 300, 20_000, item=str)]
    assert sizes == [20_000] * 300


async def test_code_outside_the_hub_asks_a_client() -> None:
    """`server.clients.client(...).invoke` gives the typed result, also while the client's own call waits."""
    server, log = chat()
    async with serving(server) as base, client(base) as ann:
        ann.on("Age", lambda: 41, types=())
        name = await ann.invoke("Join", "lobby", result=str)
        waiting = asyncio.ensure_future(ann.invoke("Wait"))
        await until(lambda: "waits" in log)
        assert await server.clients.client(name).invoke("Age", result=int) == 41
        with pytest.raises(InvokeFailed) as failed:
            await server.clients.client(name).invoke("Missing", result=int)
        assert failed.value.code == "CLIENT_ERROR"
        waiting.cancel()
        await server.stop(0.1)


async def test_topics_of_the_server_reach_subscribers() -> None:
    """A hub method subscribes its connection; the newest state comes at once, then each that follows."""

    class Prices(Hub):
        def __init__(self, server: list[HubServer[Any]]) -> None:
            self.server = server[0]

        async def subscribe(self) -> None:
            self.server.topic("Price").subscribe(self.context.connection)
            self.server.event_topic("Bell").subscribe(self.context.connection)

    servers: list[HubServer[Any]] = []
    servers.append(HubServer(Prices, path="/chat", provide=lambda hub: hub(servers)))
    heard: list[Any] = []
    async with serving(servers[0]) as base, client(base) as ann:
        for target in ("Price", "Bell"):
            ann.on(target, lambda value, target=target: heard.append((target, value)), types=(int,))
        await servers[0].topic("Price").publish(1)
        await ann.invoke("Subscribe")
        await until(lambda: heard == [("Price", 1)])
        await servers[0].topic("Price").publish(2)
        await servers[0].event_topic("Bell").publish(7)
        await until(lambda: heard == [("Price", 1), ("Price", 2), ("Bell", 7)])


async def test_a_stop_ends_methods_and_tells_the_hub() -> None:
    """Clients are sent away to reconnect, methods that hang are cancelled, `on_disconnected` is called."""
    server, log = chat()
    async with serving(server) as base, client(base) as ann:
        waiting = asyncio.ensure_future(ann.invoke("Wait"))
        await until(lambda: "waits" in log)
        states: list[State] = []
        ann.on_state(lambda change: states.append(change.new))
        await server.stop(0.2)
        await until(lambda: State.RECONNECTING in states)
        with pytest.raises(ConnectionLost):
            await waiting
    assert log == ["+ann", "waits", "-ann"]


async def test_a_hub_that_refuses_says_so() -> None:
    """The client's start succeeds, since the handshake does; then it is closed with the hub's text."""

    class Closed(Hub):
        async def on_connected(self) -> None:
            from stakewire.net.signalr import HubError

            raise HubError("closed today")

    async with serving(HubServer(Closed, path="/chat")) as base, client(base) as ann:
        error = await asyncio.wait_for(ann.ended(), 5)
    assert isinstance(error, ServerClosed)
    assert "closed today" in str(error)


async def test_errors_reach_the_caller_and_the_connection_stays() -> None:
    """A wrong call is an error of that call alone."""
    server, _ = chat()
    async with serving(server) as base, client(base) as ann:
        with pytest.raises(HubError, match="Unknown hub method 'Nothing'"):
            await ann.invoke("Nothing")
        with pytest.raises(HubError, match="due to an error on the server"):
            await ann.invoke("Join", 1)
        assert ann.state is State.CONNECTED


async def test_hundreds_of_calls_in_one_breath_are_all_answered() -> None:
    """More calls than may wait only hold reading; none is lost and none is out of order."""
    server, _ = chat(max_waiting_invocations=8)
    async with serving(server) as base, client(base) as ann:
        answers = await asyncio.gather(*(ann.invoke("Join", f"{n}", result=str) for n in range(500)))
    assert len(set(answers)) == 1
