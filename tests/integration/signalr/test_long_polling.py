"""Claims about hubs over long polls."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.integration.signalr.hosting import PATH, SHAKE, SHAKE_MESSAGEPACK, Answer, Host, until

from stakewire.wire.signalr.messages import Completion, Invocation
from stakewire.wire.signalr.protocol import MESSAGEPACK


class Poller:
    """A client that polls when told to."""

    def __init__(self, host: Host, token: str) -> None:
        self.host = host
        self.target = f"?id={token}"

    async def poll(self) -> Answer:
        return await self.host.ask("GET", self.target + "&_=1763600000000")

    async def hear(self) -> list[Any]:
        """Hub messages of one poll, which has news."""
        answer = await self.poll()
        assert (answer.status, answer.headers["content-type"]) == (200, "application/octet-stream")
        assert answer.body.endswith(b"\x1e")
        return [json.loads(record) for record in answer.body[:-1].split(b"\x1e")]

    async def post(self, body: bytes) -> int:
        return (await self.host.ask("POST", self.target, body=body)).status

    async def delete(self) -> int:
        return (await self.host.ask("DELETE", self.target)).status


async def new_poller(host: Host) -> Poller:
    poller = Poller(host, (await host.negotiate())["connectionToken"])
    first = await poller.poll()
    assert (first.status, first.body) == (200, b"")
    return poller


@pytest.fixture
async def poller(host: Host) -> Poller:
    """A client that has polled for the first time, and was answered at once, and has shaken hands."""
    poller = await new_poller(host)
    assert await poller.post(SHAKE) == 200
    assert await poller.hear() == [{}]
    return poller


async def test_what_is_queued_travels_together(host: Host, poller: Poller) -> None:
    """One poll takes all messages sent since the last, in order; nothing of it may be cached."""
    for number in range(3):
        host.hub.only.send(Invocation("Tick", [number]))
    assert [message["arguments"] for message in await poller.hear()] == [[0], [1], [2]]
    host.hub.only.send(Invocation("Tick", [3]))
    answer = await poller.poll()
    assert "no-cache" in answer.headers["cache-control"]


async def test_a_waiting_poll_is_answered_with_the_first_news(host: Host, poller: Poller) -> None:
    """And with whatever else is sent in the same turn of the loop."""
    polling = asyncio.create_task(poller.hear())
    call = {"type": 1, "target": "Echo", "arguments": ["x"], "invocationId": "1"}
    assert await poller.post((json.dumps(call).encode() + b"\x1e") * 2) == 200
    assert await polling == [{"type": 3, "invocationId": "1", "result": "x"}] * 2


async def test_messagepack_is_polled_as_it_is(host: Host) -> None:
    """The handshake's answer is JSON all the same."""
    poller = await new_poller(host)
    assert await poller.post(SHAKE_MESSAGEPACK) == 200
    assert (await poller.poll()).body == b"{}\x1e"
    await poller.post(MESSAGEPACK.write(Invocation("Echo", [1], "1")))
    assert (await poller.poll()).body == MESSAGEPACK.write(Completion("1", 1))


async def test_a_poll_without_news_ends_empty_after_its_time(host: Host, poller: Poller) -> None:
    """200 after 90 s, and the connection waits for the next poll."""
    polling = asyncio.create_task(poller.poll())
    await _waits(host)
    host.pass_time(89)
    assert not polling.done()
    host.pass_time(2)
    answer = await polling
    assert (answer.status, answer.body) == (200, b"")
    assert len(host.hub.here) == 1


async def test_a_new_poll_ends_the_old_one(host: Host, poller: Poller) -> None:
    """204 for the one that was given up; the news go to the new one."""
    old = asyncio.create_task(poller.poll())
    await _waits(host)
    new = asyncio.create_task(poller.hear())
    assert (await old).status == 204
    host.hub.only.send(Invocation("Tick", []))
    assert (await new)[0]["target"] == "Tick"


async def test_delete_ends_the_connection(host: Host, poller: Poller) -> None:
    """202; a poll that waits is answered 204, and the id is unknown afterwards."""
    polling = asyncio.create_task(poller.poll())
    await _waits(host)
    assert await poller.delete() == 202
    assert (await polling).status == 204
    assert list(host.hub.ended.values()) == [None]
    assert await poller.delete() == 404


async def test_the_last_words_are_fetched_before_204(host: Host, poller: Poller) -> None:
    """When the hub closes, one poll brings the Close message and the next says that it is over."""
    host.hub.only.close("Bye.", allow_reconnect=True)
    assert await poller.hear() == [{"type": 7, "error": "Bye.", "allowReconnect": True}]
    assert (await poller.poll()).status == 204
    assert host.known == 0
    assert (await poller.poll()).status == 404


async def test_last_words_that_nobody_fetches_are_forgotten(host: Host, poller: Poller) -> None:
    """A closed connection is kept for 5 s."""
    host.hub.only.close()
    host.pass_time(6)
    host.pass_time(1)
    assert host.known == 0


async def test_who_stops_polling_is_gone_after_15_seconds(host: Host, poller: Poller) -> None:
    """A broken poll is no goodbye; only silence for `disconnect_seconds` is."""
    client = await host.http()
    client.begin("GET", PATH + poller.target)
    await _waits(host)
    client.reset()
    await asyncio.sleep(0.01)
    host.pass_time(14)
    assert len(host.hub.here) == 1
    host.pass_time(2)
    assert list(host.hub.ended.values()) == ["The client's transport was lost."]


async def test_polls_are_their_own_keep_alive(host: Host, poller: Poller) -> None:
    """Neither pings nor the client's time-out: a poll may wait in silence for a minute and more."""
    await poller.post(b'{"type":6}\x1e')
    polling = asyncio.create_task(poller.hear())
    await _waits(host)
    for _ in range(8):
        host.pass_time(10)
    host.hub.only.send(Invocation("Tick", []))
    assert [message["type"] for message in await polling] == [1]


async def test_a_queue_that_nobody_fetches_is_bounded(host: Host, poller: Poller) -> None:
    """Beyond `max_unsent_bytes` the connection is closed, to be made anew."""
    connection = host.hub.only
    for _ in range(5):
        connection.send(Invocation("Tick", ["x" * 60_000]))
    assert connection.closed
    last = (await poller.hear())[-1]
    assert (last["type"], last["allowReconnect"]) == (7, True)


async def _waits(host: Host) -> None:
    """Wait until the server has a poll that waits."""
    link = host.hub.only.link
    await until(lambda: getattr(link, "_poll", None) is not None)
