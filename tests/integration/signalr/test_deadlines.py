"""Claims about keep-alive and time-outs, all judged by one sweep."""

from __future__ import annotations

import asyncio
from math import inf

import pytest
from tests.integration.signalr.conftest import NewHost
from tests.integration.signalr.hosting import SHAKE, Host, until

from stakewire.net.signalr.options import HubOptions
from stakewire.net.signalr.timers import Wheel
from stakewire.wire.signalr.messages import Invocation


async def test_a_client_that_never_shakes_hands_is_told_after_15_seconds(host: Host) -> None:
    """The answer is an error in the handshake's form; the hub never hears of it."""
    client = await host.websocket()
    client.send(SHAKE[:10])
    await until(lambda: host.known == 1)
    host.pass_time(14)
    host.pass_time(2)
    assert await client.hear() == {"error": "Handshake was canceled."}
    await client.ended()
    await until(lambda: host.known == 0)
    assert not host.hub.ended


async def test_silence_of_ours_is_broken_by_pings(host: Host) -> None:
    """After 15 s without a send, and not before."""
    client = await host.websocket()
    client.send(SHAKE)
    assert [await client.record(), await client.record()] == [b"{}", b'{"type":6}']
    host.pass_time(10)
    host.hub.only.send(Invocation("Tick", []))
    host.pass_time(10)
    host.hub.only.send(Invocation("Tock", []))
    assert b"Tick" in (await client.record() or b"")
    assert b"Tock" in (await client.record() or b"")
    host.pass_time(16)
    assert await client.record() == b'{"type":6}'


async def test_a_client_that_pinged_must_not_fall_silent(host: Host) -> None:
    """30 s after its last message it is closed, with leave to come back; any message counts as life."""
    client = await host.connect()
    client.say({"type": 6})
    await client.call(1)
    host.pass_time(29)
    await client.call(2)
    host.pass_time(29)
    assert not host.hub.only.closed
    host.pass_time(2)
    said = await client.hear()
    assert (said["type"], said["allowReconnect"]) == (7, True)
    await client.ended()


async def test_a_client_that_never_pings_may_be_silent(host: Host) -> None:
    """A partner's bare client that only listens is kept; TCP tells when its machine is gone."""
    client = await host.connect()
    for _ in range(20):
        host.pass_time(15)
    assert await client.call("still here") == "still here"


async def test_silence_while_a_method_runs_is_no_death(host: Host) -> None:
    """The client waits for its result; its time begins when it has it."""
    client = await host.connect()
    client.say({"type": 6})
    await client.call(1)
    host.hub.only.method_started()
    for _ in range(10):
        host.pass_time(10)
    host.hub.only.method_ended()
    host.pass_time(29)
    assert not host.hub.only.closed
    host.pass_time(16)
    assert (await client.hear())["type"] == 7


async def test_a_client_that_takes_nothing_is_closed_after_10_seconds(host: Host) -> None:
    """Unsent bytes for `send_stall_seconds`: closed, though none of the bounds on bytes is reached."""
    client = await host.websocket(receive_buffer=4096)
    await client.shake()
    connection = host.hub.only
    while not connection.busy:
        connection.send(Invocation("Tick", ["x" * 20_000]))
    host.pass_time(8)
    assert not connection.closed
    host.pass_time(3)
    assert connection.closed


async def test_pings_do_not_pile_up_before_a_client_that_takes_nothing(new_host: NewHost) -> None:
    """Bytes that wait already will tell it as much."""
    host = await new_host(options=HubOptions(keep_alive_seconds=2))
    client = await host.websocket(receive_buffer=4096)
    await client.shake()
    connection = host.hub.only
    while not connection.busy:
        connection.send(Invocation("Tick", ["x" * 20_000]))
    assert connection.link is not None
    before = connection.link.unsent
    for _ in range(3):
        host.pass_time(3)
        assert connection.link.unsent <= before


async def test_a_slow_client_that_catches_up_is_kept(host: Host) -> None:
    """The clock of a stall starts anew each time everything was taken; senders may wait for that."""
    client = await host.websocket(receive_buffer=4096)
    await client.shake()
    connection = host.hub.only
    for _ in range(3):
        while not connection.busy:
            connection.send(Invocation("Tick", ["x" * 20_000]))
        draining = asyncio.create_task(connection.drained())
        host.pass_time(8)
        while not draining.done():
            await asyncio.wait(
                {asyncio.ensure_future(client.hear()), draining}, return_when="FIRST_COMPLETED"
            )
        host.pass_time(8)
    assert not connection.closed


async def test_the_times_are_options(new_host: NewHost) -> None:
    """Each of them, here the three that every connection meets."""
    options = HubOptions(handshake_seconds=2, keep_alive_seconds=3, client_timeout_seconds=7)
    host = await new_host(options=options)
    silent = await host.websocket()
    client = await host.websocket()
    client.send(SHAKE + b'{"type":6}\x1e')
    assert [await client.record(), await client.record()] == [b"{}", b'{"type":6}']
    host.pass_time(4)
    assert await silent.hear() == {"error": "Handshake was canceled."}
    assert await client.record() == b'{"type":6}'
    host.pass_time(4)
    assert (await client.hear())["type"] == 7


class Item:
    """Asks to be looked at again `steps` later."""

    def __init__(self, *steps: float) -> None:
        self.due = inf
        self.steps = list(steps)
        self.looks: list[float] = []

    def look(self, now: float) -> float:
        self.looks.append(now)
        return now + self.steps.pop(0) if self.steps else inf


def test_the_wheel_looks_once_per_deadline() -> None:
    """Within a second after it; an item that asks again is seen again, one that does not is forgotten."""
    wheel, item = Wheel(1000.0), Item(5.0)
    wheel.watch(item, 1002.5)
    for second in range(1000, 1020):
        wheel.sweep(float(second))
    assert item.looks == [1003.0, 1009.0]
    assert item.due == inf


def test_the_wheel_takes_the_earliest_of_several_wishes() -> None:
    """Later wishes are dropped: the item says itself when it wants to be seen next."""
    wheel, item = Wheel(1000.0), Item()
    for at in (1010.0, 1004.0, 1020.0):
        wheel.watch(item, at)
    for second in range(1000, 1030):
        wheel.sweep(float(second))
    assert item.looks == [1005.0]


@pytest.mark.parametrize("jump", [1.0, 7.0, 100.0])
def test_the_wheel_survives_late_sweeps(jump: float) -> None:
    """A sweep that comes late looks at everything that became due meanwhile; the past is looked at next."""
    wheel, items = Wheel(1000.0), [Item() for _ in range(5)]
    for number, item in enumerate(items):
        wheel.watch(item, 1000.0 + number)
    wheel.sweep(1000.0 + jump)
    wheel.sweep(1000.0 + jump + 10)
    assert all(len(item.looks) == 1 for item in items)
    wheel.watch(items[0], 900.0)
    wheel.sweep(1000.0 + jump + 11)
    assert len(items[0].looks) == 2
