"""Calls, streams and handlers of the SignalR client against the real hub, on every transport and protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
from tests.integration.client.signalr_peers import QUICK, HubPeer, Reading, options_for, serving, until

from stakewire.client.signalr import (
    BadAnswer,
    BadArguments,
    CallTimedOut,
    ClientOptions,
    ConnectionLost,
    Fault,
    HubConnection,
    HubError,
    SlowConsumer,
    State,
    TooManyCalls,
    Transport,
    WrongState,
)
from stakewire.net.signalr import HubOptions

WAYS = [
    (Transport.WEB_SOCKETS, "json", {}),
    (Transport.WEB_SOCKETS, "messagepack", {}),
    (Transport.WEB_SOCKETS, "json", {"compression": True}),
    (Transport.WEB_SOCKETS, "json", {"skip_negotiation": True}),
    (Transport.WEB_SOCKETS, "messagepack", {"stateful_reconnect": True}),
    (Transport.SERVER_SENT_EVENTS, "json", {}),
    (Transport.LONG_POLLING, "json", {}),
    (Transport.LONG_POLLING, "messagepack", {}),
]


@pytest.fixture
async def peer() -> AsyncIterator[HubPeer]:
    async with serving(HubOptions(stateful_reconnect=True)) as peer:
        yield peer


@pytest.fixture(params=WAYS, ids=lambda way: "-".join((way[0].value, way[1], *way[2])))
def options(request: pytest.FixtureRequest) -> ClientOptions:
    transport, protocol, more = request.param
    return options_for(transport, protocol, **more)


@pytest.fixture
async def hub(peer: HubPeer, options: ClientOptions) -> AsyncIterator[HubConnection]:
    async with HubConnection(peer.url, options=options) as hub:
        yield hub


async def test_a_call_gives_the_type_asked_for(hub: HubConnection, options: ClientOptions) -> None:
    """Plain values, typed structures, null and nothing come back; the transport is the one allowed."""
    assert await hub.invoke("Add", 1, 2, result=int) == 3
    assert await hub.invoke("add", 1, 2) == 3
    assert await hub.invoke("Warmer", Reading("roof", 20.5), result=Reading) == Reading("roof", 21.5)
    assert await hub.invoke("Nothing") is None
    await hub.invoke("Nothing", result=type(None))
    assert {hub.transport} == options.transports
    assert (hub.connection_id is None) is options.skip_negotiation


async def test_errors_of_a_call_say_whose_fault_they_are(hub: HubConnection) -> None:
    """The hub's own text, an unknown method, a result of another type; the connection goes on after each."""
    with pytest.raises(HubError, match="not today") as refused:
        await hub.invoke("Refuse")
    assert (refused.value.fault, refused.value.retryable) == (Fault.SERVER, False)
    with pytest.raises(HubError) as exploded:
        await hub.invoke("Explode")
    assert "secret" not in str(exploded.value)
    with pytest.raises(HubError, match="Unknown hub method"):
        await hub.invoke("Missing")
    with pytest.raises(HubError, match="unauthorized"):
        await hub.invoke("MembersOnly")
    with pytest.raises(BadAnswer, match="Add"):
        await hub.invoke("Add", 1, 2, result=str)
    with pytest.raises(BadAnswer, match="Nothing"):
        await hub.invoke("Nothing", result=int)
    with pytest.raises(BadArguments):
        await hub.invoke("Add", 1, object())
    assert await hub.invoke("Add", 2, 2, result=int) == 4


async def test_many_calls_may_wait_at_once(hub: HubConnection) -> None:
    """Each gets its own answer."""
    assert await asyncio.gather(*(hub.invoke("Add", n, n, result=int) for n in range(50))) == [
        2 * n for n in range(50)
    ]


async def test_a_stream_from_the_server_comes_in_order_and_ends(hub: HubConnection) -> None:
    """All items, then the end; an error comes after the items before it."""
    assert [n async for n in hub.stream("Counter", 300, item=int)] == list(range(300))
    seen = []
    with pytest.raises(HubError, match="after one"):
        async for n in hub.stream("Failing", item=int):
            seen.append(n)
    assert seen == [1]


async def test_leaving_the_loop_cancels_the_stream(hub: HubConnection, peer: HubPeer) -> None:
    """`break` is enough: the method on the server ends, and the connection goes on."""
    async for n in hub.stream("Endless", item=int):
        if n == 5:
            break
    async with asyncio.timeout(10):
        await peer.world.cancelled.wait()
    peer.world.cancelled.clear()
    async with aclosing(hub.stream("Endless", item=int)) as numbers:
        assert await anext(numbers) == 0
    async with asyncio.timeout(10):
        await peer.world.cancelled.wait()
    assert await hub.invoke("Add", 1, 1, result=int) == 2


async def test_a_stream_to_the_server_is_an_argument(hub: HubConnection, peer: HubPeer) -> None:
    """Its items arrive typed and in order, and its source's failure is told to the method."""

    async def readings(fails: Exception | None = None) -> AsyncIterator[Reading]:
        for n in range(25):
            yield Reading("roof", n)
        if fails is not None:
            raise fails

    assert await hub.invoke("Upload", readings(), result=int) == 25
    assert peer.world.uploaded == [Reading("roof", n) for n in range(25)]
    with pytest.raises(HubError):
        await hub.invoke("Upload", readings(HubError("the sensor broke")))
    assert "the sensor broke" in peer.world.upload_errors[-1]
    with pytest.raises(HubError):
        await hub.invoke("Upload", readings(RuntimeError("secret")))
    assert "secret" not in peer.world.upload_errors[-1]


async def test_streams_go_both_ways_at_once(hub: HubConnection) -> None:
    """What is sent comes back item by item, while it is being sent."""
    received: asyncio.Queue[int] = asyncio.Queue()

    async def echo() -> AsyncIterator[int]:
        yield 1
        for _ in range(4):
            yield await received.get() + 1

    seen = []
    async for n in hub.stream("BothWays", echo(), 10, item=int):
        seen.append(n)
        received.put_nowait(n)
    assert seen == [10, 110, 1110, 11110, 111110]


async def test_a_call_that_ends_early_closes_its_source(hub: HubConnection, peer: HubPeer) -> None:
    """The generator behind an upload is closed when its call fails."""
    closed = asyncio.Event()

    async def forever() -> AsyncIterator[Any]:
        try:
            yield "not a reading"
            await asyncio.Event().wait()
        finally:
            closed.set()

    with pytest.raises(HubError):
        await hub.invoke("Upload", forever())
    async with asyncio.timeout(10):
        await closed.wait()


async def test_the_server_calls_handlers_and_gets_results(hub: HubConnection) -> None:
    """Plain and coroutine handlers, in order of arrival, whatever the case of the target."""
    plain: list[int] = []
    slow: list[int] = []

    async def handler(n: int) -> None:
        await asyncio.sleep(0)
        slow.append(n)

    hub.on("Number", plain.append, types=(int,))
    hub.on("number", handler, types=(int,))
    assert await hub.invoke("CallBack", 40, result=int) == 40
    assert plain == list(range(40))
    await until(lambda: slow == list(range(40)))

    async def answer(question: str) -> str:
        return question[::-1]

    registration = hub.on("Answer", answer, types=(str,))
    assert await hub.invoke("AskMe", "abc", result=str) == "cba"
    registration.remove()
    with pytest.raises(HubError):
        await hub.invoke("AskMe", "abc")


async def test_a_handlers_failure_is_told_to_the_server_without_its_text(hub: HubConnection) -> None:
    """Only a HubError's own words go out; several handlers give no result."""

    def refuse(question: str) -> str:
        raise HubError("I will not say")

    for handler in (refuse, lambda question: object()):
        registration = hub.on("Answer", handler, types=(str,))
        with pytest.raises(HubError):
            await hub.invoke("AskMe", "x")
        registration.remove()
    hub.on("Answer", refuse, types=(str,))
    hub.on("Answer", lambda question: question, types=(str,))
    with pytest.raises(HubError):
        await hub.invoke("AskMe", "x")


async def test_send_wants_no_answer(hub: HubConnection, peer: HubPeer) -> None:
    """The calls arrive in the order they were made."""
    for n in range(20):
        await hub.send("Count", n)
    await until(lambda: len(peer.world.calls) == 20)
    assert peer.world.calls == list(range(20))


async def test_stopping_is_clean(peer: HubPeer, options: ClientOptions) -> None:
    """The server sees a clean end, calls that wait fail, and the connection may be started again."""
    hub = HubConnection(peer.url, options=options)
    await hub.start()
    waiting = asyncio.create_task(hub.invoke("Wait"))
    await asyncio.sleep(0)
    await hub.stop()
    with pytest.raises(ConnectionLost):
        await waiting
    peer.world.released.set()  # the hub waits for its methods before it says goodbye
    await until(lambda: peer.world.ended == [None])
    assert hub.state is State.DISCONNECTED
    assert await hub.ended() is None
    with pytest.raises(WrongState):
        await hub.invoke("Add", 1, 1)
    async with hub:
        assert await hub.invoke("Add", 1, 1) == 2


async def test_a_call_may_have_a_time_limit(peer: HubPeer) -> None:
    """Whether it was carried out is then not known; a late answer disturbs nothing."""
    async with HubConnection(peer.url, options=QUICK) as hub:
        with pytest.raises(CallTimedOut) as late:
            await hub.invoke("Wait", timeout=0.01)
        assert late.value.retryable
        peer.world.released.set()
        assert await hub.invoke("Add", 1, 1, result=int) == 2


async def test_calls_that_wait_are_bounded(peer: HubPeer) -> None:
    """One more than allowed is refused before anything is sent."""
    async with HubConnection(peer.url, options=replace(QUICK, max_pending_calls=2)) as hub:
        waiting = [asyncio.create_task(hub.invoke("Wait")) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(TooManyCalls):
            await hub.invoke("Add", 1, 1)
        peer.world.released.set()
        assert await asyncio.gather(*waiting) == ["released"] * 2


async def test_a_stream_that_nobody_reads_holds_the_server_back(peer: HubPeer) -> None:
    """With a full queue nothing is read; when the loop goes on, not one item is missing."""
    async with HubConnection(peer.url, options=replace(QUICK, max_queued=10)) as hub:
        numbers = hub.stream("Counter", 20_000, item=int)
        assert await anext(numbers) == 0
        await until(lambda: hub._backlog.full)
        assert [n async for n in numbers] == list(range(1, 20_000))


async def test_a_loop_that_is_stuck_fails_alone(peer: HubPeer) -> None:
    """After the stall time the stream is cancelled and fails; the rest of the connection goes on."""
    async with HubConnection(peer.url, options=replace(QUICK, max_queued=10, stall_seconds=0.05)) as hub:
        numbers = hub.stream("Endless", item=int)
        assert await anext(numbers) == 0
        assert await hub.invoke("Add", 1, 1, result=int) == 2  # read only after the stall
        async with asyncio.timeout(10):
            await peer.world.cancelled.wait()
        left = []
        with pytest.raises(SlowConsumer):
            async for n in numbers:
                left.append(n)
        assert left == list(range(1, 1 + len(left)))
        assert len(left) >= 9
