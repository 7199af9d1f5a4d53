"""The client through a line that is cut: nothing lost, nothing doubled, no image that stays wrong."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from tests.integration.client.signalr_peers import (
    QUICK,
    WAIT,
    CuttingProxy,
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
    ConnectionLost,
    HubConnection,
    NotConnected,
    State,
    SubscriptionState,
    Transport,
)
from stakewire.net.signalr import HubOptions

STATEFUL = HubOptions(stateful_reconnect=True)


@pytest.fixture
async def peer() -> AsyncIterator[HubPeer]:
    async with serving(STATEFUL) as peer:
        yield peer


class Ledger:
    """Both ends of a conversation of numbered calls; says at the end what is missing or double."""

    def __init__(self, hub: HubConnection, peer: HubPeer) -> None:
        self._hub = hub
        self._peer = peer
        self._numbers = itertools.count()
        self.answers: list[int] = []
        self.pushed: list[int] = []
        self.sent: list[int] = []
        hub.on("Number", self.pushed.append, types=(int,))

    async def round(self) -> None:
        """A call with an answer, one without, a push, a stream: all in flight together."""
        number = next(self._numbers)
        self.sent.append(number)
        answer, _, _ = await asyncio.gather(
            self._hub.invoke("Add", number, 1, result=int),
            self._hub.send("Count", number),
            self._push(),
        )
        self.answers.append(answer)

    async def _push(self) -> None:
        before = len(self.pushed)
        assert await self._hub.invoke("CallBack", 2, result=int) == 2
        assert len(self.pushed) == before + 2, "a push came after the call that made it, once each"

    async def check(self) -> None:
        """All of it arrived once and in order."""
        await until(lambda: len(self._peer.world.calls) >= len(self.sent))
        assert self._peer.world.calls == self.sent
        assert self.answers == [number + 1 for number in self.sent]
        assert self.pushed == [0, 1] * len(self.sent)


class Cuts:
    """Cuts each new connection one byte later than the one before, in one direction, up to `last`."""

    def __init__(self, proxy: CuttingProxy, direction: str, last: int) -> None:
        self.after = 0
        self.last = last
        self._to_server = direction == "to-server"
        proxy.limit = self.limit

    def limit(self) -> tuple[int | None, int | None]:
        self.after += 1
        if self.after > self.last:
            return None, None
        return (self.after, None) if self._to_server else (None, self.after)


DIRECTIONS = pytest.mark.parametrize("direction", ["to-server", "to-client"])
PROTOCOLS = pytest.mark.parametrize("protocol", ["json", "messagepack"])


@DIRECTIONS
@PROTOCOLS
async def test_cut_at_every_byte(peer: HubPeer, protocol: str, direction: str) -> None:
    """Every transport of one session is cut a byte later than the one before, replays included.

    From the first byte of the upgrade, through Sequence and whatever is replayed, into what is new: no
    message is lost or doubled, in either direction, and neither calls nor callbacks notice anything.
    """
    options = options_for(Transport.WEB_SOCKETS, protocol, stateful_reconnect=True, resume_seconds=60.0)
    async with through_proxy(peer.url) as (proxy, url), HubConnection(url, options=options) as hub:
        states = States(hub)
        ledger = Ledger(hub, peer)
        cuts = Cuts(proxy, direction, last=1200)
        proxy.cut()
        while cuts.after <= cuts.last:
            async with asyncio.timeout(WAIT):
                await ledger.round()
        await ledger.round()
        await ledger.check()
        assert set(states.seen) == {State.RESUMING, State.CONNECTED}
        assert proxy.cuts > 1000


@DIRECTIONS
@PROTOCOLS
async def test_cut_at_every_byte_of_the_beginning(peer: HubPeer, protocol: str, direction: str) -> None:
    """Negotiation, upgrade and handshake cut anywhere: `start` with `retry_start` comes through."""
    options = replace(QUICK, protocol=protocol, retry_start=True)
    async with through_proxy(peer.url) as (proxy, url):
        cuts = Cuts(proxy, direction, last=2000)
        async with asyncio.timeout(WAIT), HubConnection(url, options=options) as hub:
            cuts.last = 0
            while True:
                try:
                    assert await hub.invoke("Add", 1, 1, result=int) == 2
                    break
                except (NotConnected, ConnectionLost):
                    await hub.connected()
        assert proxy.cuts > 200


MODELS = [
    (Transport.WEB_SOCKETS, "json", False, 400),
    (Transport.WEB_SOCKETS, "messagepack", False, 400),
    (Transport.WEB_SOCKETS, "json", True, 400),
    (Transport.WEB_SOCKETS, "messagepack", True, 400),
    (Transport.SERVER_SENT_EVENTS, "json", False, 150),
    (Transport.LONG_POLLING, "messagepack", False, 150),
]


@pytest.mark.parametrize(("transport", "protocol", "stateful", "cuts"), MODELS)
async def test_the_image_is_the_truth_after_every_cut(
    peer: HubPeer, transport: Transport, protocol: str, stateful: bool, cuts: int
) -> None:
    """A state that changes all the time, watched through a line cut at random: the image always catches up.

    The subscription alone brings it back: made again after a reconnect, still standing after a resumption.
    """
    chance = random.Random(cuts)
    options = options_for(transport, protocol, stateful_reconnect=stateful, resume_seconds=60.0)
    topic = peer.hub.topic("table", target="State")
    truth: dict[str, int] = {}
    image: dict[str, int] = {}
    seen: list[int] = []

    def take(state: dict[str, int]) -> None:
        image.clear()
        image.update(state)
        seen.append(state["version"])

    async def change() -> None:
        truth[f"row {chance.randrange(20)}"] = chance.randrange(1000)
        truth["version"] = truth.get("version", 0) + 1
        await topic.publish(dict(truth))

    await change()
    async with through_proxy(peer.url) as (proxy, url), HubConnection(url, options=options) as hub:
        hub.on("State", take, types=(dict[str, int],))
        table = hub.subscription("Watch", "table", result=str)
        await table.active()
        proxy.limit = lambda: _random_limit(chance)
        while proxy.cuts < cuts:
            for _ in range(chance.randrange(3)):
                await change()
            await _until_new_line_or(proxy, lambda: image == truth)
            if chance.random() < 0.3:
                proxy.cut()
            if chance.random() < 0.1:
                proxy.limit = lambda: (None, None)
                await until(lambda: image == truth and table.state is SubscriptionState.ACTIVE)
                proxy.limit = lambda: _random_limit(chance)
        proxy.limit = lambda: (None, None)
        await until(lambda: image == truth)
        assert seen == sorted(seen), "an older state never comes after a newer one"


async def _until_new_line_or(proxy: CuttingProxy, condition: Callable[[], bool]) -> None:
    lines = proxy.connections
    await until(lambda: proxy.connections > lines or condition())


def _random_limit(chance: random.Random) -> tuple[int | None, int | None]:
    """Mostly cut within what it takes to connect and subscribe, in either direction, sometimes in both."""
    to_server = chance.randrange(1, 2000) if chance.random() < 0.5 else None
    to_client = chance.randrange(1, 2000) if to_server is None or chance.random() < 0.2 else None
    return to_server, to_client


async def test_a_resumption_that_comes_too_late_becomes_a_reconnect() -> None:
    """A server that restarted knows nothing of it: calls fail, the subscription is made again."""
    first = await serve(STATEFUL)
    options = options_for(Transport.WEB_SOCKETS, "json", stateful_reconnect=True)
    async with HubConnection(first.url, options=options) as hub:
        states = States(hub)
        subscription = hub.subscription("Watch", "table", result=str)
        await subscription.active()
        call = asyncio.create_task(hub.invoke("Wait"))
        await until(lambda: len(first.world.waiting) == 1)
        await first.crash()
        await states.reach(State.RESUMING)
        second = await serve(STATEFUL, port=port_of(first.url))
        with pytest.raises(ConnectionLost):
            await call
        await hub.connected()
        await subscription.active()
        assert states.seen == [State.RESUMING, State.RECONNECTING, State.CONNECTED]
        assert len(second.hub.topic("table")) == 1
    await second.stop()
    first.world.released.set()
    await first.stop()
