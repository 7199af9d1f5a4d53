"""How the client comes back, or does not: closes, restarts, subscriptions, keep-alive, slow handlers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from tests.integration.client.signalr_peers import (
    QUICK,
    WAIT,
    HubPeer,
    States,
    options_for,
    port_of,
    serve,
    serving,
    through_proxy,
    until,
)

from stakewire.client.signalr import (
    NO_RECONNECT,
    ClientOptions,
    ConnectionLost,
    HubConnection,
    HubError,
    NotConnected,
    Overflow,
    ReconnectSchedule,
    ServerAway,
    ServerClosed,
    SlowConsumer,
    State,
    Subscription,
    SubscriptionState,
    Transport,
    WrongState,
)
from stakewire.net.signalr import HubOptions

EVERY_TRANSPORT = pytest.mark.parametrize("transport", list(Transport), ids=lambda transport: transport.value)


@pytest.fixture
async def peer() -> AsyncIterator[HubPeer]:
    async with serving(HubOptions(stateful_reconnect=True)) as peer:
        yield peer


@EVERY_TRANSPORT
async def test_a_close_with_allow_reconnect_brings_the_client_back(
    peer: HubPeer, transport: Transport
) -> None:
    """It is a new connection, and the calls that waited on the old one have failed."""
    async with HubConnection(peer.url, options=options_for(transport, "json")) as hub:
        first = hub.connection_id
        waiting = asyncio.create_task(hub.invoke("Wait"))
        await until(lambda: len(peer.world.waiting) == 1)
        states = States(hub)
        for connection in list(peer.hub.endpoint.connections):
            connection.close("later", allow_reconnect=True)
        with pytest.raises(ConnectionLost, match="later"):
            await waiting
        await hub.connected()
        assert states.seen == [State.RECONNECTING, State.CONNECTED]
        assert hub.connection_id != first
        assert await hub.invoke("Add", 1, 1, result=int) == 2
        peer.world.released.set()


@EVERY_TRANSPORT
async def test_a_close_without_it_is_final(peer: HubPeer, transport: Transport) -> None:
    """The error says what the server said; nothing is tried again."""
    async with HubConnection(peer.url, options=options_for(transport, "json")) as hub:
        await hub.send("GoAway", "you are banned", False)
        error = await hub.ended()
        assert isinstance(error, ServerClosed)
        assert "you are banned" in error.message
        assert hub.state is State.DISCONNECTED
        with pytest.raises(WrongState):
            await hub.send("Count", 1)
        with pytest.raises(ServerClosed):
            await hub.connected()
        await hub.start()
        assert await hub.invoke("Add", 1, 1, result=int) == 2


@pytest.mark.parametrize("stateful", [False, True])
async def test_a_rolling_restart_loses_no_client(stateful: bool) -> None:
    """The old server says goodbye; on the new one are the client, its subscription, the current state."""
    first = await serve(HubOptions(stateful_reconnect=True))
    options = options_for(Transport.WEB_SOCKETS, "json", stateful_reconnect=stateful)
    values: list[int] = []
    async with HubConnection(first.url, options=options) as hub:
        hub.on("State", values.append, types=(int,))
        subscription = hub.subscription("Watch", "table", result=str)
        await subscription.active()
        await first.hub.topic("table", target="State").publish(1)
        await until(lambda: values == [1])
        states = States(hub)
        await first.stop()
        await states.reach(State.RECONNECTING)
        with pytest.raises(NotConnected):
            await hub.invoke("Add", 1, 1)
        second = await serve(HubOptions(stateful_reconnect=True), port=port_of(first.url))
        await second.hub.topic("table", target="State").publish(2)
        await subscription.active()
        await until(lambda: values == [1, 2])
    await second.stop()


async def test_a_schedule_that_ends_gives_up(peer: HubPeer) -> None:
    """With the error of the last attempt; without any reconnect, with that of the loss."""
    options = replace(QUICK, reconnect=ReconnectSchedule(waits=(0.0,), attempts=3))
    async with through_proxy(peer.url) as (proxy, url), HubConnection(url, options=options) as hub:
        states = States(hub)
        proxy.target = ("127.0.0.1", 9)
        proxy.cut()
        assert isinstance(await hub.ended(), ServerAway)
        assert states.seen == [State.RECONNECTING, State.DISCONNECTED]
    options = replace(QUICK, reconnect=NO_RECONNECT)
    async with through_proxy(peer.url) as (proxy, url), HubConnection(url, options=options) as hub:
        proxy.cut()
        assert isinstance(await hub.ended(), ConnectionLost)


async def test_stop_ends_every_kind_of_waiting(peer: HubPeer) -> None:
    """While it connects, while it waits to reconnect, and twice at once."""
    slow = replace(QUICK, reconnect=ReconnectSchedule(waits=(3600.0,)), retry_start=True)
    async with through_proxy(peer.url) as (proxy, url):
        async with HubConnection(url, options=slow) as hub:
            states = States(hub)
            proxy.cut()
            await states.reach(State.RECONNECTING)
            waiting = asyncio.create_task(hub.connected())
            await asyncio.gather(hub.stop(), hub.stop())
            with pytest.raises(WrongState):
                await waiting
        proxy.target = ("127.0.0.1", 9)
        hub = HubConnection(url, options=slow)
        starting = asyncio.create_task(hub.start())
        await until(lambda: hub.state is State.CONNECTING)
        with pytest.raises(WrongState, match="connecting"):
            await hub.start()
        await hub.stop()
        with pytest.raises(WrongState):
            await starting
        starting = asyncio.create_task(hub.start())
        await until(lambda: hub.state is State.CONNECTING)
        starting.cancel()
        await asyncio.wait([starting])
        assert hub.state is State.DISCONNECTED


async def test_subscriptions_tell_how_current_they_are(peer: HubPeer) -> None:
    """Active, out of date, refused, renewed, closed: each is told, and `active` waits or raises."""
    told: list[SubscriptionState] = []

    def tell(subscription: Subscription) -> None:
        told.append(subscription.state)
        raise RuntimeError("the callback's own affair")

    async with through_proxy(peer.url) as (proxy, url), HubConnection(url, options=QUICK) as hub:
        async with hub.subscription("Watch", "table", result=str, on_state=tell) as table:
            assert table.result == "table"
            proxy.cut()
            await until(lambda: told.count(SubscriptionState.ACTIVE) == 2)
        assert told == [
            *(SubscriptionState.SUBSCRIBING, SubscriptionState.ACTIVE, SubscriptionState.WAITING),
            *(SubscriptionState.SUBSCRIBING, SubscriptionState.ACTIVE, SubscriptionState.CLOSED),
        ]
        with pytest.raises(NotConnected):
            await table.active()
        refused = hub.subscription("Refuse")
        with pytest.raises(HubError, match="not today"):
            await refused.active()
        refused.renew()
        with pytest.raises(HubError, match="not today"):
            await refused.active()
        other = hub.subscription("Watch", "other")
        await other.active()
        await other.close("Count", 7)
        await until(lambda: peer.world.calls == [7])
        proxy.cut()
        await hub.connected()
        assert other.state is SubscriptionState.CLOSED
        assert table.state is SubscriptionState.CLOSED


async def test_a_subscription_may_be_made_before_the_start(peer: HubPeer) -> None:
    """It waits, and is made when the connection stands."""
    hub = HubConnection(peer.url, options=QUICK)
    table = hub.subscription("Watch", "table", result=str)
    assert table.state is SubscriptionState.WAITING
    async with hub:
        await table.active()
        assert table.result == "table"


@pytest.mark.parametrize("stateful", [False, True])
async def test_a_server_that_falls_silent_is_left(peer: HubPeer, stateful: bool) -> None:
    """Nothing for the server timeout, on a line that still stands: the client makes a new one."""
    options = replace(QUICK, server_timeout_seconds=0.2, keep_alive_seconds=0.1, stateful_reconnect=stateful)
    async with through_proxy(peer.url) as (proxy, url), HubConnection(url, options=options) as hub:
        states = States(hub)
        await until(lambda: len(states.seen) >= 2)
        kind = State.RESUMING if stateful else State.RECONNECTING
        assert states.seen[:2] == [kind, State.CONNECTED]
        assert "nothing came from the server" in str(states.errors[0])
        assert proxy.connections >= 2


@pytest.mark.parametrize("stateful", [False, True])
async def test_a_stuck_handler_costs_the_connection(peer: HubPeer, stateful: bool) -> None:
    """Its queue is bounded; when it stays full the connection is made anew, and the reason told."""
    options = replace(QUICK, max_queued=5, stall_seconds=0.05, stateful_reconnect=stateful)
    async with HubConnection(peer.url, options=options) as hub:
        states = States(hub)
        stuck = asyncio.Event()
        seen: list[int] = []

        async def handler(number: int) -> None:
            seen.append(number)
            await stuck.wait()

        hub.on("Number", handler, types=(int,))
        with pytest.raises(ConnectionLost):
            await hub.invoke("CallBack", 50)
        assert isinstance(states.errors[0], SlowConsumer)
        await hub.connected()
        stuck.set()
        assert await hub.invoke("CallBack", 1, result=int) == 1
        await until(lambda: seen == [0, 0])


async def test_a_handler_of_states_may_skip_to_the_newest(peer: HubPeer) -> None:
    """DROP_OLDEST: reading never stops, the newest message is handled, and what was skipped is counted."""
    async with HubConnection(peer.url, options=QUICK) as hub:
        free = asyncio.Event()
        seen: list[int] = []

        async def handler(number: int) -> None:
            await free.wait()
            seen.append(number)

        registration = hub.on("Number", handler, types=(int,), max_queued=1, overflow=Overflow.DROP_OLDEST)
        assert await hub.invoke("CallBack", 50, result=int) == 50
        free.set()
        await until(lambda: len(seen) == 2)
        assert seen[-1] == 49
        assert registration.skipped == 48


async def test_a_slow_handler_holds_the_server_back_and_misses_nothing(peer: HubPeer) -> None:
    """With WAIT every message is handled, in order, however small the queue."""
    async with HubConnection(peer.url, options=replace(QUICK, max_queued=3)) as hub:
        seen: list[int] = []

        async def handler(number: int) -> None:
            await asyncio.sleep(0)
            seen.append(number)

        hub.on("Number", handler, types=(int,))
        assert await hub.invoke("CallBack", 200, result=int) == 200
        await until(lambda: len(seen) == 200)
        assert seen == list(range(200))


@pytest.mark.parametrize("stateful", [False, True])
async def test_calls_wait_while_too_much_is_unsent(peer: HubPeer, stateful: bool) -> None:
    """Far more than the bounds, all at once: the bound holds, and every call is answered."""
    options: ClientOptions = replace(
        QUICK, max_unsent_bytes=2_000, max_unacknowledged_bytes=20_000, stateful_reconnect=stateful
    )
    async with HubConnection(peer.url, options=options) as hub:
        async with asyncio.timeout(WAIT):
            answers = await asyncio.gather(*(hub.invoke("Echo", "x" * 900, result=str) for _ in range(30)))
        assert answers == ["x" * 900] * 30
