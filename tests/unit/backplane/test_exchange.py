"""The exchange: what hubs in several processes do through a backplane; this one is in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from stakewire.net.signalr.clients import InvokeFailed
from stakewire.net.signalr.exchange import Exchange
from stakewire.net.signalr.groups import Audience
from stakewire.net.signalr.states import TopicStates
from stakewire.testing import ManualClock, SeededTokens
from stakewire.wire.backplane.envelope import TopicState, pack


@dataclass
class Bus:
    """Hands each message to all exchanges, in one order, one turn of the loop later."""

    receivers: list[tuple[Callable[[bytes], None], Callable[[], None]]] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)

    def deliver(self, data: bytes) -> None:
        for receive, _ in self.receivers:
            receive(data)


@dataclass
class BusEnd:
    """A process's end of the bus."""

    bus: Bus
    waiting: int = 0
    connected: bool = True
    lost: Callable[[], None] = lambda: None

    async def start(self, receive: Callable[[bytes], None], lost: Callable[[], None]) -> None:
        self.lost = lost
        self.bus.receivers.append((receive, lost))

    def publish(self, data: bytes) -> None:
        self.bus.sent.append(data)
        asyncio.get_running_loop().call_soon(self.bus.deliver, data)

    async def stop(self) -> None:
        self.connected = False


class Process:
    """The connections of a process: those named, and what they were told."""

    def __init__(self, bus: Bus, seed: int, *connections: str) -> None:
        self.connections = set(connections)
        self.delivered: list[tuple[Audience, str, list[Any]]] = []
        self.regrouped: list[tuple[str, str, bool]] = []
        self.topics: list[tuple[str, list[Any]]] = []
        self.misses = 0
        self.end = BusEnd(bus)
        self.exchange = Exchange(
            self.end,
            self,
            tell_topic=lambda name, arguments: self.topics.append((name, list(arguments))),
            clock=ManualClock(),
            tokens=SeededTokens(seed),
            result_seconds=0.05,
        )

    def holds(self, connection_id: str) -> bool:
        return connection_id in self.connections

    def deliver(self, audience: Audience, target: str, arguments: Sequence[Any]) -> None:
        self.delivered.append((audience, target, list(arguments)))

    def regroup(self, connection_id: str, group: str, *, joins: bool) -> None:
        self.regrouped.append((connection_id, group, joins))

    async def invoke(
        self, connection_id: str, target: str, arguments: Sequence[Any], result: Any, timeout: float | None
    ) -> Any:
        if target == "Fail":
            raise InvokeFailed("the client says no", code="CLIENT_ERROR")
        if target == "Hang":
            await asyncio.Event().wait()
        return [connection_id, *arguments]

    def missed(self) -> None:
        self.misses += 1


async def settle() -> None:
    """Until everything on its way has arrived."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
async def pair() -> tuple[Process, Process]:
    """Two processes, with the connections a and b."""
    bus = Bus()
    here, there = Process(bus, 1, "a"), Process(bus, 2, "b")
    await here.exchange.start()
    await there.exchange.start()
    await settle()
    return here, there


async def test_a_send_reaches_every_process_once(pair: tuple[Process, Process]) -> None:
    """The sender's too, when it comes back."""
    here, there = pair
    audience = Audience("groups", ("room",), ("a",))
    await here.exchange.send(audience, "Said", ("x",))
    assert here.delivered == []
    await settle()
    assert here.delivered == there.delivered == [(audience, "Said", ["x"])]


async def test_what_concerns_connections_here_alone_stays_here(pair: tuple[Process, Process]) -> None:
    """A reply to the caller does not travel."""
    here, there = pair
    before = len(here.end.bus.sent)
    await here.exchange.send(Audience("connections", ("a",)), "Said", ("x",))
    await here.exchange.regroup("a", "room", joins=True)
    assert await here.exchange.invoke("a", "Name", (1,), list[Any], None) == ["a", 1]
    assert len(here.end.bus.sent) == before
    assert len(here.delivered) == 1
    assert there.delivered == []


async def test_a_connection_elsewhere_is_regrouped_there(pair: tuple[Process, Process]) -> None:
    """And nowhere else."""
    here, there = pair
    await here.exchange.regroup("b", "room", joins=True)
    await here.exchange.regroup("b", "room", joins=False)
    await settle()
    assert there.regrouped == [("b", "room", True), ("b", "room", False)]
    assert here.regrouped == []


async def test_a_client_elsewhere_is_asked(pair: tuple[Process, Process]) -> None:
    """Its result comes back as the type wanted, its error as an error, its silence in time."""
    here, _ = pair
    assert await here.exchange.invoke("b", "Name", (1,), tuple[str, int], None) == ("b", 1)
    with pytest.raises(InvokeFailed, match="says no"):
        await here.exchange.invoke("b", "Fail", (), int, None)
    with pytest.raises(InvokeFailed, match="does not fit"):
        await here.exchange.invoke("b", "Name", (), int, None)


async def test_nobody_answers_for_a_connection_that_is_gone(
    pair: tuple[Process, Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question ends with its time."""
    here, _ = pair
    monkeypatch.setattr("stakewire.net.signalr.exchange._TRAVEL_SECONDS", 0.0)
    with pytest.raises(InvokeFailed) as failed:
        await here.exchange.invoke("nobody", "Name", (), int, 0.01)
    assert failed.value.code == "CLIENT_TIMED_OUT"


async def test_a_process_that_starts_is_told_the_newest_states(pair: tuple[Process, Process]) -> None:
    """Each once, although two could tell it, and those who know them hear nothing new."""
    here, there = pair
    for n in range(3):
        here.exchange.publish_state("score", (n,))
    there.exchange.publish_state("odds", ("1.5",))
    await settle()
    late = Process(here.end.bus, 3)
    await late.exchange.start()
    await settle()
    assert sorted(late.topics) == [("odds", ["1.5"]), ("score", [2])]
    assert here.topics == there.topics == [("score", [0]), ("score", [1]), ("score", [2]), ("odds", ["1.5"])]
    assert late.exchange.newest("score") == [2]


async def test_missed_messages_send_clients_away_and_states_are_asked_for(
    pair: tuple[Process, Process],
) -> None:
    """What others know newer arrives; what is known as new here stays."""
    here, there = pair
    here.exchange.publish_state("score", (1,))
    await settle()
    missed, here.end.bus.receivers = here.end.bus.receivers[0], here.end.bus.receivers[1:]
    there.exchange.publish_state("score", (2,))
    await settle()
    here.end.bus.receivers.append(missed)
    here.end.lost()
    await settle()
    assert here.misses == 1
    assert here.topics == [("score", [1]), ("score", [2])]
    there.end.lost()
    await settle()
    assert there.topics == [("score", [1]), ("score", [2])]


@pytest.mark.parametrize("data", [b"", b"\xc1", pack(TopicState("x", 1, [1]))[:-1]])
async def test_what_cannot_be_read_does_no_harm(pair: tuple[Process, Process], data: bytes) -> None:
    """The next message arrives."""
    here, there = pair
    here.end.bus.deliver(data)
    await here.exchange.send(Audience("all"), "Said", ())
    await settle()
    assert len(there.delivered) == 1


def test_stamps_never_go_back() -> None:
    """Neither with the clock nor behind what another publisher stamped."""
    states, now = TopicStates(), datetime(2026, 11, 20, tzinfo=UTC)
    first = states.stamp(now, "t")
    assert states.stamp(now, "t") > first
    states.take(TopicState("t", first + 10_000, [1]))
    assert states.stamp(now, "t") > first + 10_000


def test_an_older_answer_does_not_replace_a_state() -> None:
    """It was on its way while something newer was published."""
    states = TopicStates()
    assert states.take(TopicState("t", 5, ["old"], answer_to="p"))
    assert states.take(TopicState("t", 7, ["new"]))
    assert not states.take(TopicState("t", 5, ["old"], answer_to="p"))
    newest = states.newest("t")
    assert newest is not None
    assert newest.arguments == ["new"]
