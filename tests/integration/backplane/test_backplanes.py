"""What both carriers promise, on real servers."""

from __future__ import annotations

import asyncio

import pytest
from tests.integration.backplane.carriers import LOST, Carrier, nats_at, postgres_at

from stakewire.errors import Unavailable


async def test_everybody_hears_it_the_publisher_too(carrier: Carrier) -> None:
    """Each message once, in the order of its publisher."""
    one, other = await carrier.process(), await carrier.process()
    for body in (b"a", b"b", b"c"):
        one.backplane.publish(body)
    await one.hears(b"a", b"b", b"c")
    await other.hears(b"a", b"b", b"c")


async def test_hubs_do_not_hear_each_other(carrier: Carrier) -> None:
    """Several hubs share a server."""
    chat, odds = await carrier.process("chat"), await carrier.process("odds")
    chat.backplane.publish(b"hello")
    odds.backplane.publish(b"1.50")
    await chat.hears(b"hello")
    await odds.hears(b"1.50")


async def test_a_process_hears_what_comes_after_its_start(carrier: Carrier) -> None:
    """And nothing from before."""
    early = await carrier.process()
    early.backplane.publish(b"before")
    await early.hears(b"before")
    late = await carrier.process()
    early.backplane.publish(b"after")
    await late.hears(b"after")


async def test_many_publishers_at_once_lose_and_double_nothing(carrier: Carrier) -> None:
    """Four processes publish 300 messages each, as fast as they are taken; each keeps its own order."""
    processes = [await carrier.process() for _ in range(4)]

    async def publish(number: int) -> None:
        for n in range(300):
            while True:
                try:
                    processes[number].backplane.publish(b"%d %d" % (number, n))
                    break
                except Unavailable:
                    await asyncio.sleep(0.005)

    await asyncio.gather(*(publish(number) for number in range(4)))
    for process in processes:
        await process.until(lambda heard=process.heard: len(heard) >= 1200)  # type: ignore[misc]
        assert sorted(process.heard) == sorted(b"%d %d" % (p, n) for p in range(4) for n in range(300))
        for number in range(4):
            own = [int(body.split()[1]) for body in process.heard if body.startswith(b"%d " % number)]
            assert own == list(range(300))


async def test_a_long_message_arrives_whole(carrier: Carrier) -> None:
    """Half a megabyte of any bytes."""
    one, other = await carrier.process(), await carrier.process()
    body = bytes(range(256)) * 2000
    one.backplane.publish(body)
    await other.hears(body)


async def test_stop_sends_what_waits(carrier: Carrier) -> None:
    """The last words of a process that ends in order."""
    one, other = await carrier.process(), await carrier.process()
    for n in range(50):
        one.backplane.publish(b"%d" % n)
    await one.backplane.stop()
    await other.hears(*(b"%d" % n for n in range(50)))


async def test_while_the_server_is_away_messages_wait_within_a_bound(mortal: Carrier) -> None:
    """Publishing never blocks; what was taken arrives when the server is back, and readers are told."""
    one, other = await mortal.process(), await mortal.process()
    one.backplane.publish(b"before")
    await other.hears(b"before")
    await mortal.crash()
    for n in range(50):
        one.backplane.publish(b"%d" % n)
    with pytest.raises(Unavailable, match="wait for the backplane"):
        one.backplane.publish(b"one too many")
    assert one.backplane.waiting == 50
    await _until(lambda: not one.backplane.connected)
    await mortal.come_back()
    await _until(lambda: one.backplane.waiting == 0)
    one.backplane.publish(b"after")
    for process in (one, other):
        await process.until(lambda heard=process.heard: b"after" in heard and LOST in heard)  # type: ignore[misc]
    assert one.backplane.connected


@pytest.mark.parametrize(
    "make", [postgres_at("postgresql://u@127.0.0.1:9/d"), nats_at("nats://127.0.0.1:9", "x")]
)
async def test_a_server_that_is_not_there_is_said_at_the_start(make: object) -> None:
    """A supervisor may try again."""
    backplane = make("chat")  # type: ignore[operator]
    with pytest.raises(Unavailable, match="cannot be reached"):
        await backplane.start(lambda _: None, lambda: None)


async def _until(condition: object) -> None:
    async with asyncio.timeout(20):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.01)
