"""Claims about topics: who gets which state, whatever the transport, and what a slow reader costs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.integration.signalr.conftest import NewHost
from tests.integration.signalr.hosting import (
    SHAKE_MESSAGEPACK,
    SHAKE_STATEFUL,
    Host,
    Socket,
    until,
)

from stakewire.net.signalr.connection import HubConnection
from stakewire.net.signalr.options import HubOptions
from stakewire.net.signalr.sending import DIRECT, WRITING, Sender
from stakewire.net.signalr.sending.ring import RingRefused
from stakewire.net.signalr.sending.uring import UringSender
from stakewire.net.signalr.topics import EventTopic, StateTopic, Topics
from stakewire.wire.signalr.errors import NotWritable
from stakewire.wire.signalr.messages import Invocation
from stakewire.wire.signalr.protocol import MESSAGEPACK

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"
LARGE = "x" * 40_000


@pytest.fixture(params=["transport.write", "write", "io_uring"])
def sender(request: pytest.FixtureRequest) -> Iterator[Sender]:
    """Every way of sending, the last one where the system allows it."""
    if request.param != "io_uring":
        yield DIRECT if request.param == "write" else WRITING
        return
    try:
        uring = UringSender()
    except RingRefused as refused:
        pytest.skip(f"no io_uring here: {refused}")
    yield uring
    uring.close()


@pytest.fixture
def topics(host: Host, sender: Sender) -> Topics:
    """Topics of the default hub."""
    return Topics(sender, host.clock, host.endpoint.connections.counts)


async def joined(host: Host, topic: StateTopic | EventTopic, client: Socket) -> HubConnection:
    """Subscribe the client that connected last."""
    await until(lambda: len(host.hub.here) == len(topic) + 1, "the connection is known")
    connection = list(host.hub.here.values())[-1]
    topic.subscribe(connection)
    return connection


async def subscriber(
    host: Host, topic: StateTopic | EventTopic, *headers: str, receive_buffer: int | None = None
) -> Socket:
    client = await host.websocket("", *headers, receive_buffer=receive_buffer)
    await client.shake()
    await joined(host, topic, client)
    return client


async def arguments(client: Socket) -> Any:
    message = await client.hear()
    assert (message["type"], message["target"]) == (1, "State"), message
    return message["arguments"]


async def test_a_subscriber_gets_the_newest_state_at_once_and_every_one_after_it(
    host: Host, topics: Topics
) -> None:
    """There is no waiting for the next tick."""
    topic = topics.state("State")
    await topic.publish("old")
    await topic.publish("newest", 1)
    client = await subscriber(host, topic)
    await topic.publish("next", 2)
    assert await arguments(client) == ["newest", 1]
    assert await arguments(client) == ["next", 2]
    assert topic.newest == ("next", 2)


async def test_many_subscribers_get_the_same_state(host: Host, topics: Topics) -> None:
    """Ten make a batch: all arrive, whole and in order, for messages of changing length."""
    topic = topics.state("State")
    clients = [await subscriber(host, topic) for _ in range(10)]
    states = ["a", "b" * 2_000, "c" * 10, LARGE, "d"]
    for state in states:
        await topic.publish(state)
        for client in clients:
            assert await arguments(client) == [state]
    assert topic.sent == len(states) * len(clients)
    assert topic.sent_bytes > 10 * len(LARGE)


async def test_numbers_count_per_subscriber_from_0(host: Host, topics: Topics) -> None:
    """Whoever came later has lower numbers in otherwise equal messages; compressed ones, too."""
    topic = topics.state("State", numbered="sId")
    state = {"games": ["open"] * 100}
    clients: list[Socket] = []
    for turn in range(24):
        if turn < 20:
            clients.append(await subscriber(host, topic, *((DEFLATE,) if turn % 2 else ())))
        await topic.publish(state)
    for came, client in enumerate(clients):
        got = [await arguments(client) for _ in range(24 - came)]
        # The first one found no state; every other got the newest at once, and then counts on from there.
        more = [await arguments(client)] if came else []
        assert [one["sId"] for (one,) in got + more] == list(range(len(got + more)))
        assert all(one["games"] == state["games"] for (one,) in got + more)


async def test_every_transport_and_protocol_carries_the_same_state(host: Host, topics: Topics) -> None:
    """JSON and MessagePack, compressed or not, event stream and long polling."""
    topic = topics.state("State")
    state = {"games": ["open"] * 100}
    await topic.publish(state)
    plain, deflated = await subscriber(host, topic), await subscriber(host, topic, DEFLATE)

    packed = await host.websocket()
    packed.protocol = MESSAGEPACK
    packed.send(SHAKE_MESSAGEPACK, binary=True)
    await joined(host, topic, packed)

    events = await host.negotiate()
    stream = await host.http()
    stream.begin("GET", f"/hubs/test?id={events['connectionToken']}", "Accept: text/event-stream")
    assert (await stream.head()).status == 200
    await host.ask("POST", f"?id={events['connectionToken']}", body=b'{"protocol":"json","version":1}\x1e')
    await joined(host, topic, plain)

    polls = await host.negotiate()
    poll = f"?id={polls['connectionToken']}"
    assert (await host.ask("GET", poll)).status == 200
    await host.ask("POST", poll, body=b'{"protocol":"json","version":1}\x1e')
    await joined(host, topic, plain)

    assert await arguments(plain) == await arguments(deflated) == [state]
    records = [await packed.record() for _ in range(3)]
    assert records[2] == MESSAGEPACK.write(Invocation("State", [state]))[2:]
    line = b""
    while b'"State"' not in line:
        line = await stream.reader.readline()
    assert json.loads(line.removeprefix(b"data: ").strip(b"\x1e\r\n"))["arguments"] == [state]
    body = b""
    while b'"State"' not in body:
        body += (await host.ask("GET", poll)).body
    assert json.loads(body.split(b"\x1e")[-2])["arguments"] == [state]


async def test_a_slow_reader_is_passed_over_and_then_gets_the_newest_state(
    host: Host, topics: Topics
) -> None:
    """It misses states but no numbers, delays nobody, and has the newest state once it has caught up."""
    topic = topics.state("State", numbered="sId")
    slow = await subscriber(host, topic, receive_buffer=4096)
    others = [await subscriber(host, topic) for _ in range(9)]
    version = 0
    while topic.skipped < 3:
        version += 1
        assert version < 1_000, "it is never passed over"
        await topic.publish({"version": version, "filling": LARGE})
        for other in others:
            (state,) = await arguments(other)
            assert (state["version"], state["sId"]) == (version, version - 1)
    seen: list[int] = []
    number = 0
    while not seen or seen[-1] != version:
        (state,) = await arguments(slow)
        assert state["sId"] == number
        number += 1
        seen.append(state["version"])
    assert seen == sorted(set(seen))
    assert len(seen) < version
    await topic.publish({"version": version + 1})
    assert (await arguments(slow))[0]["version"] == version + 1


async def test_a_stuck_reader_is_closed_in_a_stated_time(host: Host, topics: Topics) -> None:
    """After `send_stall_seconds` it is sent away with allowReconnect; what it cost until then is bounded."""
    topic = topics.state("State")
    await subscriber(host, topic, receive_buffer=4096)
    stuck = host.hub.only
    while not topic.skipped:
        await topic.publish(LARGE)
    assert stuck.link is not None
    unsent = stuck.link.unsent
    for _ in range(100):
        await topic.publish(LARGE)
    assert stuck.link.unsent == unsent < 100_000
    host.pass_time(11.0)
    assert stuck.closed
    assert len(topic) == 0
    host.pass_time(6.0)
    await until(lambda: host.known == 0, "the connection is gone")


async def test_whoever_has_left_gets_nothing(host: Host, topics: Topics) -> None:
    """Nor does a newcomer to whom the system gave the same descriptor."""
    topic = topics.state("State")
    clients = [await subscriber(host, topic) for _ in range(12)]
    await topic.publish("one")
    for client in clients:
        assert await arguments(client) == ["one"]
    gone, left = clients[:6], clients[6:]
    for client in gone:
        client.http.reset()
    await until(lambda: len(topic) == 6, "they have left")
    newcomers = [await host.connect() for _ in range(6)]
    await topic.publish("two")
    for client in left:
        assert await arguments(client) == ["two"]
    for client in newcomers:
        assert await client.call("hello") == "hello"
    topics.forget("State")
    await topic.publish("three")
    for client in left:
        assert await client.call("hello") == "hello"


async def test_subscribing_again_brings_the_state_again(host: Host, topics: Topics) -> None:
    """But no second subscription; to unsubscribe ends it, and may be said twice."""
    topic = topics.state("State")
    client = await subscriber(host, topic)
    await topic.publish(1)
    topic.subscribe(host.hub.only)
    await topic.publish(2)
    assert [await arguments(client) for _ in range(3)] == [[1], [1], [2]]
    assert len(topic) == 1
    topic.unsubscribe(host.hub.only)
    topic.unsubscribe(host.hub.only)
    await topic.publish(3)
    assert await client.call("quiet") == "quiet"


async def test_every_event_waits_for_a_slow_reader(host: Host, topics: Topics) -> None:
    """Events are never skipped: they arrive in order, once the reader goes on."""
    topic = topics.event("State")
    slow = await subscriber(host, topic, receive_buffer=4096)
    others = [await subscriber(host, topic) for _ in range(9)]
    for number in range(5):
        await topic.publish(number, LARGE)
        for other in others:
            assert await arguments(other) == [number, LARGE]
    for number in range(5):
        assert (await arguments(slow))[0] == number
    assert topic.skipped == 0


async def test_who_lets_too_many_events_pile_up_is_closed(host: Host, topics: Topics) -> None:
    """The bound is the hub's `max_unsent_bytes`; the others notice nothing."""
    topic = topics.event("State")
    other = await subscriber(host, topic)
    await subscriber(host, topic, receive_buffer=4096)
    for number in range(20):
        await topic.publish(number, LARGE)
        assert await arguments(other) == [number, LARGE]
    assert len(topic) == 1
    assert host.endpoint.options.max_unsent_bytes < 20 * len(LARGE)


async def test_a_resumed_connection_gets_the_newest_state(new_host: NewHost, sender: Sender) -> None:
    """While a stateful client is away states are passed over; back again it finds the newest one."""
    host = await new_host(options=HubOptions(stateful_reconnect=True))
    topic = Topics(sender, host.clock, host.endpoint.connections.counts).state("State")
    answer = await host.negotiate("?negotiateVersion=1&useStatefulReconnect=true")
    query = f"?id={answer['connectionToken']}"
    client = await (await host.websocket(query)).shake(SHAKE_STATEFUL)
    connection = await joined(host, topic, client)
    await topic.publish(1)
    assert await arguments(client) == [1]
    client.http.reset()
    await until(lambda: connection.link is None, "the transport is lost")
    for version in (2, 3):
        await topic.publish(version)
    again = await host.websocket(query)
    again.say({"type": 9, "sequenceId": 1})
    got: list[Any] = []
    while not got or got[-1] != [3]:
        message = await again.hear()
        if message["type"] == 1:
            got.append(message["arguments"])
    assert got == [[1], [3]], "what was not acknowledged, and the newest"
    assert topic.skipped == 2


async def test_what_cannot_be_written_is_sent_to_nobody(host: Host, topics: Topics) -> None:
    """The publisher hears of it; the state before stays the newest."""
    topic = topics.state("State")
    client = await subscriber(host, topic)
    await topic.publish("good")
    with pytest.raises(NotWritable):
        await topic.publish(object())
    assert topic.newest == ("good",)
    assert await arguments(client) == ["good"]
    assert await client.call("quiet") == "quiet"
