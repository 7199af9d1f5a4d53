"""Claims about what a hub shows to Prometheus."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry
from tests.integration.signalr.hosting import PATH, EchoHub, Host, Socket, until

from stakewire.net.http import HttpLimits, HttpServer
from stakewire.net.signalr import Hub, HubServer, StateTopic
from stakewire.net.signalr.metrics import HubMetrics
from stakewire.net.sockets import bind
from stakewire.testing import ManualClock, SeededTokens

LARGE = "x" * 60_000


class Feed(Hub):
    def __init__(self, topic: StateTopic) -> None:
        self._topic = topic

    async def subscribe(self) -> None:
        self._topic.subscribe(self.context.connection)


class Shown:
    """A served hub and its metrics."""

    def __init__(self, registry: CollectorRegistry, hub: HubServer[Feed], host: Host) -> None:
        self.registry = registry
        self.hub = hub
        self.host = host
        self.metrics = HubMetrics(registry)

    def value(self, name: str, **labels: str) -> float:
        self.metrics.update(self.hub)
        value = self.registry.get_sample_value(f"stakewire_hub_{name}", {"hub": PATH, **labels})
        assert value is not None, name
        return value

    async def subscriber(self, *, receive_buffer: int | None = None) -> Socket:
        client = await (await self.host.websocket(receive_buffer=receive_buffer)).shake()
        client.say({"type": 1, "target": "Subscribe", "arguments": [], "invocationId": "1"})
        answer = await client.hear()
        assert answer["type"] == 3
        assert "error" not in answer
        return client


@pytest.fixture
async def shown() -> AsyncIterator[Shown]:
    clock, registry = ManualClock(), CollectorRegistry()
    hub: HubServer[Feed] = HubServer(
        Feed, path=PATH, provide=lambda _: Feed(hub.topic("State")), clock=clock, tokens=SeededTokens()
    )

    async def no_app(scope: object, receive: object, send: object) -> None:
        raise RuntimeError("the hub is all there is")

    server = HttpServer(
        app=no_app,
        find_hot=lambda method, path: None,
        find_direct=hub.find_direct,
        limits=HttpLimits(),
        trusted_proxies=(),
        clock=clock,
    )
    (sock,) = bind("127.0.0.1", 0)
    await server.start(sock)
    host = Host(EchoHub(), hub.endpoint, server, clock, sock.getsockname())
    await hub.start()
    yield Shown(registry, hub, host)
    for client in host.clients:
        client.close()
    await hub.stop(0.1)
    await server.stop(1.0)


async def test_messages_and_bytes_are_counted_once_per_receiver(shown: Shown) -> None:
    """Whether they went through their connection or past it, in a batch."""
    clients = [await shown.subscriber() for _ in range(10)]
    before, bytes_before = shown.value("messages_sent_total"), shown.value("sent_bytes_total")
    await shown.hub.topic("State").publish("x" * 100)
    frames = [await client.record() for client in clients]
    assert shown.value("messages_sent_total") - before == 10
    assert frames[0] is not None
    assert shown.value("sent_bytes_total") - bytes_before == 10 * (len(frames[0]) + 1 + 4)
    assert shown.value("messages_received_total") == 10
    assert shown.value("received_bytes_total") > 10 * 50
    assert shown.value("subscriptions") == 10


async def test_connections_are_shown_by_transport(shown: Shown) -> None:
    """What was negotiated and not used stands apart."""
    await shown.subscriber()
    await shown.host.negotiate()
    polling = await shown.host.negotiate()
    await shown.host.ask("GET", f"?id={polling['connectionToken']}")
    assert shown.value("connections", transport="WebSockets") == 1
    assert shown.value("connections", transport="LongPolling") == 1
    assert shown.value("connections", transport="ServerSentEvents") == 0
    assert shown.value("negotiated") == 1


async def test_a_slow_reader_shows_by_what_waits_and_for_how_long(shown: Shown) -> None:
    """Skips, unsent bytes and their age, and at last the reason of its close."""
    topic = shown.hub.topic("State")
    await shown.subscriber(receive_buffer=4096)
    while not topic.skipped:
        await topic.publish(LARGE)
    assert shown.value("skips_total") == 1
    assert shown.value("slow_connections") == 1
    assert shown.value("unsent_bytes") > 0
    shown.host.pass_time(4.0)
    assert shown.value("unsent_age_seconds") == 4.0
    shown.host.pass_time(7.0)
    assert shown.value("closes_total", reason="slow") == 1
    assert shown.value("subscriptions") == 0


async def test_closes_are_shown_by_reason(shown: Shown) -> None:
    """A client that leaves, one that vanishes, one whose handshake is refused."""
    leaves, vanishes, refused = [await shown.host.websocket() for _ in range(3)]
    await leaves.shake()
    await vanishes.shake()
    leaves.say({"type": 7})
    await leaves.ended()
    vanishes.http.reset()
    refused.send(b'{"protocol":"smoke","version":1}\x1e')
    await refused.ended()
    await until(lambda: shown.host.known == 0, "all have gone")
    for reason in ("client", "lost", "refused"):
        assert shown.value("closes_total", reason=reason) == 1, reason


async def test_counters_only_rise(shown: Shown) -> None:
    """To take the numbers over twice adds nothing."""
    await shown.subscriber()
    assert shown.value("messages_received_total") == shown.value("messages_received_total") == 1
