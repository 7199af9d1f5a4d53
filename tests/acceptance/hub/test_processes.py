"""A hub in two real processes, on PostgreSQL and on NATS: sends cross, and clients survive their process."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.acceptance.hub.cluster import Cluster, running_cluster
from tests.acceptance.hub.hub_process import ChatHub
from tests.conftest import NewDatabase
from tests.integration.backplane.nats_server import NatsServer

from stakewire.client.signalr import State
from stakewire.net.signalr import HubServer

CLIENTS = 20
LAST = 1_000_000


@pytest.fixture(params=["postgres", "nats"])
async def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cluster]:
    """Two processes on either carrier."""
    if request.param == "postgres":
        new_database: NewDatabase = request.getfixturevalue("new_database")
        async with running_cluster("postgres", new_database("hub"), tmp_path) as cluster:
            yield cluster
        return
    with NatsServer() as server:
        async with running_cluster("nats", server.url, tmp_path) as cluster:
            yield cluster


async def test_groups_users_connections_and_questions_cross(cluster: Cluster) -> None:
    """What a hub method does reaches clients of the other process as if they were here."""
    one, other = cluster.ports
    ann, bob, eve = [
        await cluster.client(name, port) for name, port in (("ann", one), ("bob", other), ("eve", other))
    ]
    bob_id = await bob.hub.invoke("Join", "lobby", result=str)
    await ann.hub.invoke("Join", "lobby")
    await ann.hub.invoke("Say", "lobby", "to the group")
    await bob.hears("to the group")
    await ann.hub.invoke("Tell", "eve", "to the user")
    await eve.hears("to the user")
    await ann.hub.invoke("Whisper", bob_id, "to the connection")
    await bob.hears("to the group", "to the connection")
    assert await ann.hub.invoke("Ask", bob_id, "tea", result=str) == "bob: tea!"
    await ann.hub.invoke("Invite", bob_id, "private")
    await ann.hub.invoke("Say", "private", "to the invited")
    await bob.hears("to the group", "to the connection", "to the invited")
    assert (ann.said, eve.said) == ([], ["to the user"])


async def test_a_process_that_starts_later_knows_the_newest_state(cluster: Cluster) -> None:
    """Nobody waits for the next tick."""
    one, other = cluster.ports
    await cluster.stop(other, signal.SIGTERM)
    async with cluster.publisher() as server:
        ann = await cluster.client("ann", one)
        await ann.hub.invoke("Watch")
        await server.topic("score").publish(41)
        await server.topic("score").publish(42)
        await ann.until(lambda: ann.scores[-1:] == [42])
    await cluster.start(other)
    bob = await cluster.client("bob", other)
    await bob.hub.invoke("Watch")
    await bob.until(lambda: bob.scores == [42])


async def test_kill_9_under_load(cluster: Cluster) -> None:
    """Its clients are back on the other process with the current state; the others never notice."""
    one, other = cluster.ports
    clients = [await cluster.client(f"user{n}") for n in range(CLIENTS)]
    for client in clients:
        client.hub.subscription("Watch")
        client.hub.subscription("Join", "lobby")
    homes = [await client.where() for client in clients]
    assert {homes.count(str(port)) for port in cluster.ports} == {CLIENTS // 2}
    async with cluster.publisher() as server:
        ticks = asyncio.create_task(_tick(server))
        for client in clients:
            await client.sees(lambda client: len(client.scores) > 5 and len(client.said) > 5)
        await cluster.stop(one, signal.SIGKILL)
        moved = [client for client, home in zip(clients, homes, strict=True) if home == str(one)]
        stayed = [client for client in clients if client not in moved]
        for client in moved:
            await client.sees(lambda client: client.hub.state is State.CONNECTED and len(client.changes) > 2)
            assert await client.where() == str(other)
        ticks.cancel()
        await asyncio.gather(*(client.hub.invoke("Join", "lobby") for client in moved))
        await server.topic("score").publish(LAST)
        await server.clients.group("lobby").send("Said", str(LAST))
        for client in clients:
            await client.sees(lambda client: client.scores[-1] == LAST and client.said[-1] == str(LAST))
    for client in stayed:
        assert client.scores == sorted(set(client.scores))
        events = [int(text) for text in client.said[:-1]]
        assert events == list(range(events[0], events[-1] + 1))
        assert [change.new for change in client.changes] == [State.CONNECTING, State.CONNECTED]


async def test_a_rolling_restart_loses_no_client(cluster: Cluster) -> None:
    """One process after the other ends in order and comes back; every client has the newest state."""
    clients = [await cluster.client(f"user{n}") for n in range(CLIENTS)]
    for client in clients:
        client.hub.subscription("Watch")
    async with cluster.publisher() as server:
        ticks = asyncio.create_task(_tick(server))
        for port in cluster.ports:
            await cluster.stop(port, signal.SIGTERM)
            await cluster.start(port)
        ticks.cancel()
        await server.topic("score").publish(LAST)
        for client in clients:
            await client.sees(lambda client: client.scores[-1] == LAST)
    for client in clients:
        assert client.hub.state is State.CONNECTED
        assert client.scores == sorted(client.scores)


async def _tick(server: HubServer[ChatHub]) -> None:
    """A state and an event, both with the same number, 200 times a second."""
    for number in range(LAST):
        await server.topic("score").publish(number)
        await server.clients.group("lobby").send("Said", str(number))
        await asyncio.sleep(0.005)
